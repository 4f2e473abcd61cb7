// Parses queries with Microsoft's own parser of the query language, into a tree with the type of each expression.
"use strict";
require("@kusto/language-service-next/bridge.min.js");
require("@kusto/language-service-next/Kusto.Language.Bridge.min.js");
const { GlobalState, KustoCode, Symbols, Syntax } = Kusto.Language;

// The tables with their columns, from Azure Monitor's reference of its tables.
const TABLES = require("./tables.json");

const globals = (() => {
  const tables = new (System.Collections.Generic.List$1(Symbols.Symbol).ctor)();
  for (const [name, columns] of Object.entries(TABLES)) tables.add(Symbols.TableSymbol.From(columns).WithName(name));
  return GlobalState.Default.WithDatabase(new Symbols.DatabaseSymbol.$ctor3("workspace", null, tables, false));
})();

/** Caches a function of a node, because the tree does not change and is evaluated for each row. */
function cached(compute) {
  const cache = new WeakMap();
  return (node) => {
    let value = cache.get(node);
    if (value === undefined) cache.set(node, (value = compute(node)));
    return value;
  };
}

/** Returns the kind of a node, such as "FilterOperator". */
const kind = cached((node) => System.Enum.toString(Syntax.SyntaxKind, node.Kind));

/** Returns the children of a node, without absent ones. */
const children = cached((node) =>
  Array.from({ length: node.ChildCount }, (_, index) => node.GetChild(index)).filter((child) => child),
);

/** Returns the name of an expression's type, such as "long"; "" if it has none. */
const type = cached((node) => node.ResultType?.Name ?? "");

/** Returns whether a name refers to a column. */
const isColumn = cached((node) => System.Enum.toString(Symbols.SymbolKind, node.ReferencedSymbol?.Kind) === "Column");

/** Returns the columns of a table expression, in order, with names and types. */
function columns(node) {
  const list = node.ResultType?.Columns;
  if (!list) return [];
  return Array.from({ length: list.Count }, (_, index) => list.getItem(index)).map((column) => ({
    name: column.Name,
    type: column.Type?.Name ?? "",
  }));
}

/** Returns the text of a node, without surrounding trivia. */
const text = cached((node) => node.ToString(Syntax.IncludeTrivia.Interior));

/** Yields every node of a tree. */
function* every(node) {
  yield node;
  for (const child of children(node)) yield* every(child);
}

/** Parses a query. Returns its tree, and its errors with their lines. */
function parse(query) {
  const code = KustoCode.ParseAndAnalyze(query, globals);
  const found = code.GetDiagnostics();
  const errors = Array.from({ length: found.Count }, (_, index) => found.getItem(index)).map(
    (error) => `line ${query.slice(0, error.Start).split("\n").length}: ${error.Message}`,
  );
  return { tree: code.Syntax, errors };
}

module.exports = { TABLES, children, columns, every, isColumn, kind, parse, text, type };
