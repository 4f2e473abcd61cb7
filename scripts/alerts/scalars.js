// Evaluates scalar expressions over a row. Datetimes and timespans are milliseconds; the parser has their types. An
// unsupported expression is an error, never a wrong value.
"use strict";
const { children, isColumn, kind, text, type } = require("./kusto.js");
const { timespan } = require("./timespan.js");

class Unsupported extends Error {
  constructor(node) {
    super(`scripts/alerts does not support ${kind(node)}: ${text(node)}`);
  }
}

const isNull = (value) => value === null || value === undefined;

/** Strings are never null: an absent one is empty. */
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

/** Returns the words of a text, as `has` compares them: separated by anything but letters and digits. */
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

const isInteger = (node) => ["long", "int"].includes(type(node));
const COUNTED = {
  AddExpression: (a, b) => a + b,
  SubtractExpression: (a, b) => a - b,
  MultiplyExpression: (a, b) => a * b,
  // The quotient of two integers is an integer.
  DivideExpression: (a, b, left, right) => {
    if (b === 0) return isInteger(left) && isInteger(right) ? null : a / b;
    return isInteger(left) && isInteger(right) ? Math.trunc(a / b) : a / b;
  },
  ModuloExpression: (a, b) => (b === 0 ? null : ((a % b) + b) % b),
};

/** Null and a value are not equal; two nulls compare as null. */
function equal(a, b) {
  if (isNull(a) && isNull(b)) return null;
  return !isNull(a) && !isNull(b) && a === b;
}

const not = (value) => (value === null ? null : !value);

/**
 * Returns the value of an expression. The scope has the names: `scope.row` the columns, `scope.value(name)` the values declared
 * with `let`, `scope.now` the time, `scope.scalar(node)` the value of a `toscalar`, and `scope.aggregates` the values of
 * aggregates by their text.
 */
function evaluate(node, scope) {
  if (scope.aggregates && text(node) in scope.aggregates) return scope.aggregates[text(node)];
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
      // A row may lack columns of its table.
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
      const implementation = FUNCTIONS[text(name)];
      if (!implementation) throw new Unsupported(node);
      return implementation(given.map(of));
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
