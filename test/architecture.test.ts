import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path/posix';
import ts from 'typescript';
import { expect, test } from 'vitest';

/** ARCHITECTURE.md, "Floors": a file imports from floors below its own or from its own room. */
const FLOORS = [
  ['errors.ts', 'logger.ts', 'log-levels.ts', 'secrets.ts', 'clock.ts', 'turns.ts', 'version.ts'],
  ['protocol', 'config'],
  ['downstream', 'store', 'auth'],
  ['session', 'catalog'],
  ['upstream', 'admin'],
  ['leftovers.ts', 'http.ts'],
  ['proxy.ts', 'keeper', 'daemon'],
  ['cli', 'api'],
  ['index.ts'],
];

interface Import {
  file: string;
  line: number;
  target: string;
  /** Nothing of it is left at run time. An inline `{ type X }` leaves `import {}` behind. */
  typeOnly: boolean;
}

const source = new URL('../src/', import.meta.url);
const files = readdirSync(source, { recursive: true, encoding: 'utf8' })
  .map((file) => file.replaceAll('\\', '/'))
  .filter((file) => file.endsWith('.ts'));
const parsed = new Map(
  files.map((file) => {
    const text = readFileSync(new URL(file, source), 'utf8');
    return [file, ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true)] as const;
  }),
);
const imports = [...parsed].flatMap(([file, tree]) => importsOf(file, tree));

function importsOf(file: string, tree: ts.SourceFile): Import[] {
  const found: Import[] = [];
  const add = (node: ts.Node, specifier: ts.Node | undefined, typeOnly: boolean) => {
    if (!specifier || !ts.isStringLiteral(specifier) || !specifier.text.startsWith('.')) return;
    const { line } = tree.getLineAndCharacterOfPosition(node.getStart());
    const target = join(dirname(file), specifier.text).replace(/\.js$/, '.ts');
    found.push({ file, line: line + 1, target, typeOnly });
  };
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node))
      add(node, node.moduleSpecifier, node.importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword);
    else if (ts.isExportDeclaration(node)) add(node, node.moduleSpecifier, node.isTypeOnly);
    else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument))
      add(node, node.argument.literal, true);
    else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword)
      add(node, node.arguments[0], false);
    ts.forEachChild(node, visit);
  };
  visit(tree);
  return found;
}

/** The folder of a file, or the file itself where it stands in none. The ground floor is one room. */
function roomOf(file: string): string {
  const [first = ''] = file.split('/');
  return FLOORS[0]?.includes(first) ? 'ground' : first;
}

function floorOf(file: string): number {
  const [first = ''] = file.split('/');
  return FLOORS.findIndex((rooms) => rooms.includes(first));
}

function told({ file, line, target }: Import): string {
  return `src/${file}:${line} imports ${target}`;
}

/** Lines that hold a token: neither blank nor comment. */
function codeLines(tree: ts.SourceFile): number {
  const lines = new Set<number>();
  const visit = (node: ts.Node): void => {
    const children = node.getChildren(tree).filter((child) => !ts.isJSDoc(child));
    if (children.length > 0) return children.forEach(visit);
    if (node.kind === ts.SyntaxKind.EndOfFileToken || node.getWidth(tree) === 0) return;
    const first = tree.getLineAndCharacterOfPosition(node.getStart(tree)).line;
    const last = tree.getLineAndCharacterOfPosition(node.getEnd()).line;
    for (let line = first; line <= last; line++) lines.add(line);
  };
  visit(tree);
  return lines.size;
}

test('every file stands on a floor and every import leads to a file', () => {
  expect(files.length).toBeGreaterThan(50);
  expect(imports.length).toBeGreaterThan(200);
  expect(files.filter((file) => floorOf(file) < 0)).toEqual([]);
  expect(imports.filter(({ target }) => !parsed.has(target)).map(told)).toEqual([]);
});

test('a file imports from floors below its own or from its own room', () => {
  const wrong = imports.filter(
    ({ file, target }) => roomOf(file) !== roomOf(target) && floorOf(target) >= floorOf(file),
  );
  expect(wrong.map(told)).toEqual([]);
});

test('session takes nothing but types from store, downstream and auth', () => {
  const drivers = new Set(['store', 'downstream', 'auth']);
  const wrong = imports.filter(
    ({ file, target, typeOnly }) => roomOf(file) === 'session' && drivers.has(roomOf(target)) && !typeOnly,
  );
  expect(wrong.map(told)).toEqual([]);
});

test('no imports go round in a circle at run time', () => {
  let left = imports.filter(({ typeOnly }) => !typeOnly);
  // Files that import nothing, or that nothing imports, are in no circle; without them there are more such files.
  for (let before = Infinity; left.length < before;) {
    before = left.length;
    const [importing, imported] = [
      new Set(left.map(({ file }) => file)),
      new Set(left.map(({ target }) => target)),
    ];
    left = left.filter(({ file, target }) => imported.has(file) && importing.has(target));
  }
  expect(left.map(told)).toEqual([]);
});

test('no file has more than 300 lines of code', () => {
  const long = [...parsed].map(([file, tree]) => ({ file, lines: codeLines(tree) }));
  expect(Math.max(...long.map(({ lines }) => lines))).toBeGreaterThan(100);
  expect(long.filter(({ lines }) => lines > 300)).toEqual([]);
});

test('the environment is read in config, cli, proxy.ts and where servers are given theirs, and nowhere else', () => {
  const reads = (node: ts.Node): boolean =>
    (ts.isPropertyAccessExpression(node) && /^(globalThis\.)?process\.env$/.test(node.getText())) ||
    (ts.isImportDeclaration(node) && node.moduleSpecifier.getText() === "'node:process'") ||
    (ts.forEachChild(node, reads) ?? false);
  const readers = [...parsed].filter(([, tree]) => reads(tree)).map(([file]) => file);
  expect(readers).not.toEqual([]);
  const may = (file: string) =>
    ['config', 'cli', 'proxy.ts'].includes(roomOf(file)) || file === 'downstream/environment.ts';
  expect(readers.filter((file) => !may(file))).toEqual([]);
});

test('the drivers of SQLite and of child processes stand in their own rooms', () => {
  const users = (module: string) =>
    [...parsed].filter(([, tree]) => tree.text.includes(`'${module}'`)).map(([file]) => roomOf(file));
  expect(new Set(users('better-sqlite3'))).toEqual(new Set(['store']));
  expect(['daemon', 'downstream', 'keeper']).toEqual(
    expect.arrayContaining([...new Set(users('node:child_process'))]),
  );
});
