// Queries as Microsoft's own parser of the query language reads them: a tree with the type of each expression, or what is
// wrong with it.
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

/** The same function of a node, which asks the parser once for each node: a tree does not change, and is walked for each row. */
function once(ask) {
  const known = new WeakMap();
  return (node) => {
    let answer = known.get(node);
    if (answer === undefined) known.set(node, (answer = ask(node)));
    return answer;
  };
}

/** The kind of a node, such as "FilterOperator". */
const kind = once((node) => System.Enum.toString(Syntax.SyntaxKind, node.Kind));

/** The children of a node, absent ones left out. */
const children = once((node) =>
  Array.from({ length: node.ChildCount }, (_, index) => node.GetChild(index)).filter((child) => child),
);

/** The name of an expression's type, such as "long"; "" where it has none. */
const type = once((node) => node.ResultType?.Name ?? "");

/** Whether a name is that of a column. */
const isColumn = once((node) => System.Enum.toString(Symbols.SymbolKind, node.ReferencedSymbol?.Kind) === "Column");

/** The columns of a table expression, in order, as names and types. */
function columns(node) {
  const list = node.ResultType?.Columns;
  if (!list) return [];
  return Array.from({ length: list.Count }, (_, index) => list.getItem(index)).map((column) => ({
    name: column.Name,
    type: column.Type?.Name ?? "",
  }));
}

/** The text of a node, without what stands around it. */
const text = once((node) => node.ToString(Syntax.IncludeTrivia.Interior));

/** Every node of a tree. */
function* every(node) {
  yield node;
  for (const child of children(node)) yield* every(child);
}

/** Reads a query: its tree, and what is wrong with it, with the line. */
function read(query) {
  const code = KustoCode.ParseAndAnalyze(query, globals);
  const found = code.GetDiagnostics();
  const faults = Array.from({ length: found.Count }, (_, index) => found.getItem(index)).map(
    (fault) => `line ${query.slice(0, fault.Start).split("\n").length}: ${fault.Message}`,
  );
  return { tree: code.Syntax, faults };
}

module.exports = { TABLES, children, columns, every, isColumn, kind, read, text, type };
