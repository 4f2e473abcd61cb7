// Scalar expressions over a row. Null is null, a datetime and a timespan are milliseconds: their types are those that the
// parser found. What is not done here is an error, and never a wrong answer.
"use strict";
const { children, isColumn, kind, text, type } = require("./kusto.js");
const { timespan } = require("./timespan.js");

class Unsupported extends Error {
  constructor(node) {
    super(`scripts/alerts does not know ${kind(node)}: ${text(node)}`);
  }
}

const isNull = (value) => value === null || value === undefined;

/** A string has no null: what is absent is empty. */
const asText = (value) =>
  isNull(value) ? "" : typeof value === "object" ? JSON.stringify(value) : typeof value === "boolean" ? (value ? "true" : "false") : String(value);

function asNumber(value) {
  if (typeof value === "boolean") return Number(value);
  if (isNull(value) || typeof value === "object" || asText(value).trim() === "") return null;
  const number = Number(value);
  return Number.isNaN(number) ? null : number;
}

const truncated = (number) => (isNull(number) ? null : Math.trunc(number));

function parsed(value) {
  try {
    return JSON.parse(value);
  } catch {
    return value;
  }
}

const FUNCTIONS = {
  parse_json: ([value]) => (typeof value === "string" ? parsed(value) : value),
  tostring: ([value]) => asText(value),
  tolong: ([value]) => truncated(asNumber(value)),
  toint: ([value]) => truncated(asNumber(value)),
  todouble: ([value]) => asNumber(value),
  toreal: ([value]) => asNumber(value),
  tobool: ([value]) => (isNull(value) || value === "" ? null : typeof value === "boolean" ? value : asText(value).toLowerCase() === "true"),
  isnull: ([value]) => isNull(value),
  isnotnull: ([value]) => !isNull(value),
  isempty: ([value]) => asText(value) === "",
  isnotempty: ([value]) => asText(value) !== "",
  coalesce: (values) => values.find((value) => !isNull(value) && value !== "") ?? null,
  iff: ([condition, then, otherwise]) => (condition === true ? then : otherwise),
  bin: ([value, size]) => (isNull(value) || isNull(size) ? null : Math.floor(value / size) * size),
  round: ([value, digits]) => (isNull(value) ? null : Number(value.toFixed(digits ?? 0))),
  max_of: (values) => (values.some(isNull) ? null : Math.max(...values)),
  min_of: (values) => (values.some(isNull) ? null : Math.min(...values)),
};

/** A word of a text, as `has` looks for it: between characters that are no letters and no digits. */
const words = (value) => asText(value).toLowerCase().split(/[^\p{L}\p{N}]+/u);

const lower = (value) => asText(value).toLowerCase();
const TEXTUAL = {
  ContainsExpression: (a, b) => lower(a).includes(lower(b)),
  NotContainsExpression: (a, b) => !lower(a).includes(lower(b)),
  StartsWithExpression: (a, b) => lower(a).startsWith(lower(b)),
  NotStartsWithExpression: (a, b) => !lower(a).startsWith(lower(b)),
  HasExpression: (a, b) => words(a).includes(lower(b)),
};

const COMPARED = {
  LessThanExpression: (a, b) => a < b,
  LessThanOrEqualExpression: (a, b) => a <= b,
  GreaterThanExpression: (a, b) => a > b,
  GreaterThanOrEqualExpression: (a, b) => a >= b,
};

const isWhole = (node) => ["long", "int"].includes(type(node));
const COUNTED = {
  AddExpression: (a, b) => a + b,
  SubtractExpression: (a, b) => a - b,
  MultiplyExpression: (a, b) => a * b,
  // Of two whole numbers the quotient is whole.
  DivideExpression: (a, b, left, right) => {
    if (b === 0) return isWhole(left) && isWhole(right) ? null : a / b;
    return isWhole(left) && isWhole(right) ? Math.trunc(a / b) : a / b;
  },
  ModuloExpression: (a, b) => (b === 0 ? null : ((a % b) + b) % b),
};

/** Of null and something, equality knows that they differ; of two nulls it knows nothing. */
function equal(a, b) {
  if (isNull(a) && isNull(b)) return null;
  return !isNull(a) && !isNull(b) && a === b;
}

const not = (value) => (value === null ? null : !value);

/**
 * The value of an expression. The scope tells what names mean: `scope.row` has the columns, `scope.value(name)` what is
 * declared with `let`, `scope.now` the time, `scope.scalar(node)` the value of a `toscalar`, and `scope.known` the values
 * of aggregates by their text.
 */
function evaluate(node, scope) {
  if (scope.known && text(node) in scope.known) return scope.known[text(node)];
  const of = (part) => evaluate(part, scope);
  const parts = children(node);
  const is = kind(node);
  switch (is) {
    case "ParenthesizedExpression":
      return of(parts[1]);
    case "StringLiteralExpression":
      return node.ConstantValue;
    case "LongLiteralExpression":
    case "IntLiteralExpression":
    case "RealLiteralExpression":
      return Number(text(node));
    case "BooleanLiteralExpression":
      return text(node) === "true";
    case "TimespanLiteralExpression":
      return timespan(text(node));
    case "NameReference": {
      const name = text(node);
      if (name in scope.row) return scope.row[name];
      // A row need not have all columns of its table.
      return isColumn(node) ? null : scope.value(name, node);
    }
    case "PathExpression": {
      const [base, , member] = parts;
      const value = of(base);
      return isNull(value) || typeof value !== "object" ? null : (value[text(member)] ?? null);
    }
    case "FunctionCallExpression": {
      const [name, list] = parts;
      const given = elements(children(list)[1]);
      if (text(name) === "now" && given.length === 0) return scope.now;
      if (text(name) === "ago") return scope.now - of(given[0]);
      const known = FUNCTIONS[text(name)];
      if (!known) throw new Unsupported(node);
      return known(given.map(of));
    }
    case "ToScalarExpression":
      return scope.scalar(node);
    case "UnaryMinusExpression": {
      const value = of(parts[1]);
      return isNull(value) ? null : -value;
    }
    case "AndExpression": {
      const [a, b] = [of(parts[0]), of(parts[2])];
      return a === false || b === false ? false : isNull(a) || isNull(b) ? null : true;
    }
    case "OrExpression": {
      const [a, b] = [of(parts[0]), of(parts[2])];
      return a === true || b === true ? true : isNull(a) || isNull(b) ? null : false;
    }
    case "EqualExpression":
      return equal(of(parts[0]), of(parts[2]));
    case "NotEqualExpression":
      return not(equal(of(parts[0]), of(parts[2])));
    case "InExpression":
    case "NotInExpression": {
      const value = of(parts[0]);
      const found = elements(children(parts[2])[1]).some((element) => equal(value, of(element)) === true);
      return is === "InExpression" ? found : !found;
    }
  }
  if (is in TEXTUAL) return TEXTUAL[is](of(parts[0]), of(parts[2]));
  const binary = COMPARED[is] ?? COUNTED[is];
  if (!binary) throw new Unsupported(node);
  const [a, b] = [of(parts[0]), of(parts[2])];
  return isNull(a) || isNull(b) ? null : binary(a, b, parts[0], parts[2]);
}

/** The elements of a list that is separated by commas. */
const elements = (list) => children(list).map((element) => (kind(element) === "SeparatedElement" ? children(element)[0] : element));

module.exports = { Unsupported, elements, evaluate, isNull };
