// Evaluates the tabular operators of a query. A row is an object of its columns.
"use strict";
const { children, columns, kind, text } = require("./kusto.js");
const { Unsupported, elements, evaluate, isNull } = require("./scalars.js");

const numbers = (values) => values.filter((value) => !isNull(value));
const total = (values) => numbers(values).reduce((sum, value) => sum + value, 0);
const extreme = (values, wins) => numbers(values).reduce((held, value) => (held === null || wins(value, held) ? value : held), null);
const max = (values) => extreme(values, (value, held) => value > held);
const min = (values) => extreme(values, (value, held) => value < held);

/** The aggregates of a group; `each(argument)` returns the values of an argument for the rows of the group. */
const AGGREGATES = {
  count: (_, __, rows) => [rows.length],
  countif: ([condition], each) => [each(condition).filter((value) => value === true).length],
  sum: ([value], each) => [total(each(value))],
  sumif: ([value, condition], each) => {
    const counts = each(condition);
    return [total(each(value).filter((_, index) => counts[index] === true))];
  },
  avg: ([value], each) => {
    const values = numbers(each(value));
    return [values.length ? total(values) / values.length : null];
  },
  max: ([value], each) => [max(each(value))],
  min: ([value], each) => [min(each(value))],
  dcount: ([value], each) => [new Set(numbers(each(value))).size],
  arg_max: ([by, ...others], each) => {
    const values = each(by);
    const highest = max(values);
    const index = values.indexOf(highest);
    return [highest, ...others.map((column) => (index < 0 ? null : each(column)[index]))];
  },
};

/** Returns the expression of `name = expression`, or the expression itself. */
const expression = (node) => (kind(node) === "SimpleNamedExpression" ? children(node)[2] : node);

/** Returns the key of a group. */
const group = (values) => JSON.stringify(values.map((value) => value ?? null));

class Query {
  /** Creates a query over the rows of each table, at this time. */
  constructor(tree, rows, now) {
    this.rows = rows;
    this.now = now;
    this.declared = new Map();
    const statements = elements(children(tree).find((child) => kind(child) === "List" && child.ChildCount > 0));
    for (const statement of statements.slice(0, -1)) {
      if (kind(statement) !== "LetStatement") throw new Unsupported(statement);
      const [, name, , value] = children(statement);
      this.declared.set(text(name), this.isTable(value) ? { rows: this.table(value) } : { value: this.scalar(value) });
    }
    [this.result] = children(statements.at(-1));
  }

  /** Returns the rows of the last statement. */
  run() {
    return this.table(this.result);
  }

  isTable(node) {
    return columns(node).length > 0;
  }

  scope(row) {
    return {
      row,
      now: this.now,
      scalar: (node) => this.scalar(node),
      value: (name, node) => {
        const declared = this.declared.get(name);
        if (!declared || !("value" in declared)) throw new Unsupported(node);
        return declared.value;
      },
    };
  }

  scalar(node) {
    if (kind(node) !== "ToScalarExpression") return evaluate(node, this.scope({}));
    const table = children(node).find((child) => this.isTable(child));
    const [row] = this.table(table);
    return row?.[columns(table)[0].name] ?? null;
  }

  table(node) {
    switch (kind(node)) {
      case "ParenthesizedExpression":
        return this.table(children(node)[1]);
      case "NameReference": {
        const name = text(node);
        return this.declared.get(name)?.rows ?? this.rows(name);
      }
      case "PipeExpression": {
        const [source, , operator] = children(node);
        return this.operate(operator, this.table(source), node);
      }
    }
    throw new Unsupported(node);
  }

  operate(operator, rows, result) {
    const parts = children(operator);
    const lists = parts.filter((part) => kind(part) === "List" && part.ChildCount > 0);
    const of = (node, row) => evaluate(node, this.scope(row));
    switch (kind(operator)) {
      case "FilterOperator":
        return rows.filter((row) => of(parts.at(-1), row) === true);
      case "ExtendOperator": {
        const names = elements(lists[0]);
        return rows.map((row) => {
          const added = names.map((named) => [text(children(named)[0]), of(expression(named), row)]);
          return { ...row, ...Object.fromEntries(added) };
        });
      }
      case "ProjectOperator": {
        const names = columns(result).map((column) => column.name);
        const values = elements(lists[0]).map(expression);
        return rows.map((row) => Object.fromEntries(names.map((name, index) => [name, of(values[index], row)])));
      }
      case "SummarizeOperator":
        return this.summarize(parts, rows, columns(result).map((column) => column.name));
      case "SortOperator": {
        const keys = elements(lists[0]).map((key) => {
          const [by, order] = kind(key) === "OrderedExpression" ? children(key) : [key];
          return { by, sign: order && text(order).startsWith("asc") ? 1 : -1 };
        });
        const compare = (a, b) => {
          for (const { by, sign } of keys) {
            const [x, y] = [of(by, a), of(by, b)];
            // Nulls sort as the smallest values.
            if (isNull(x) || isNull(y)) {
              if (isNull(x) !== isNull(y)) return isNull(x) ? -sign : sign;
            } else if (x !== y) return x < y ? -sign : sign;
          }
          return 0;
        };
        return [...rows].sort(compare);
      }
      case "TakeOperator":
        return rows.slice(0, of(parts.at(-1), {}));
    }
    throw new Unsupported(operator);
  }

  summarize(parts, rows, names) {
    const by = parts.find((part) => kind(part) === "SummarizeByClause");
    const keys = by ? elements(children(by).find((part) => kind(part) === "List")).map(expression) : [];
    const list = parts.find((part) => kind(part) === "List" && part.ChildCount > 0);
    const aggregates = list ? elements(list).map(expression) : [];
    const groups = new Map();
    for (const row of rows) {
      const values = keys.map((key) => evaluate(key, this.scope(row)));
      const existing = groups.get(group(values));
      if (existing) existing.rows.push(row);
      else groups.set(group(values), { values, rows: [row] });
    }
    // Without keys there is always one row.
    if (!keys.length && !groups.size) groups.set("", { values: [], rows: [] });
    return [...groups.values()].map(({ values, rows }) => {
      const results = aggregates.flatMap((aggregate) => this.aggregate(aggregate, rows));
      return Object.fromEntries([...values, ...results].map((value, index) => [names[index], value]));
    });
  }

  /** Evaluates an aggregate, or an expression of aggregates, over a group. Returns its columns. */
  aggregate(node, rows) {
    if (kind(node) === "FunctionCallExpression") {
      const [name, list] = children(node);
      const aggregate = AGGREGATES[text(name)];
      if (aggregate) {
        const each = (argument) => rows.map((row) => evaluate(argument, this.scope(row)));
        return aggregate(elements(children(list)[1]), each, rows);
      }
    }
    // Aggregates within the expression are evaluated first, and found by their text.
    const values = {};
    for (const part of within(node)) values[text(part)] = this.aggregate(part, rows)[0];
    return [evaluate(node, { ...this.scope({}), aggregates: values })];
  }
}

/** Yields the aggregates within an expression. */
function* within(node) {
  for (const child of children(node)) {
    if (kind(child) === "FunctionCallExpression" && text(children(child)[0]) in AGGREGATES) yield child;
    else yield* within(child);
  }
}

module.exports = { Query };
