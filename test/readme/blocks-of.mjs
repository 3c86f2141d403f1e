const FENCE = /^(\s*)```(\w*)\s*$/;
const COMMENT = /^\s*<!-- run: (.*) -->\s*$/;
const BACKGROUND = /^background until "(.+)"$/;
const SKIP = /^skip because (.+)$/;

/**
 * Every ```sh block of a Markdown text: its commands, and how to run them. A comment before the block decides:
 *
 *     <!-- run: background until "TEXT" -->   start it, go on when it has printed TEXT
 *     <!-- run: skip because REASON -->       do not run it
 *
 * @throws Error for a comment that says something else or has no block, and for a block without end
 */
export function blocksOf(markdown) {
  const blocks = [];
  let directive = null; // the comment that waits for its block
  let open = null; // the block that is being read
  for (const [index, line] of markdown.split('\n').entries()) {
    const lineNumber = index + 1;
    const fence = FENCE.exec(line);
    if (open !== null) {
      if (fence?.[2] === '') {
        if (open.language === 'sh')
          blocks.push({ line: open.line, ...open.how, commands: commandsOf(open.lines) });
        open = null;
      } else
        open.lines.push(line.startsWith(open.indent) ? line.slice(open.indent.length) : line.trimStart());
      continue;
    }
    if (directive !== null && line.trim() !== '' && fence?.[2] !== 'sh')
      throw new Error(
        `line ${directive.line}: a run comment stands before ${JSON.stringify(line)}; expected a sh block`,
      );
    if (fence !== null) {
      open = {
        line: lineNumber,
        indent: fence[1],
        language: fence[2],
        how: directive?.how ?? { kind: 'foreground' },
        lines: [],
      };
      directive = null;
    } else if (/^\s*<!--\s*run\b/.test(line)) directive = { line: lineNumber, how: howOf(line, lineNumber) };
  }
  if (open !== null) throw new Error(`line ${open.line}: a block has no end`);
  if (directive !== null) throw new Error(`line ${directive.line}: a run comment has no sh block`);
  return blocks;
}

function howOf(line, lineNumber) {
  const text = COMMENT.exec(line)?.[1] ?? '';
  const until = BACKGROUND.exec(text)?.[1];
  if (until !== undefined) return { kind: 'background', until };
  const reason = SKIP.exec(text)?.[1];
  if (reason !== undefined) return { kind: 'skip', reason };
  throw new Error(
    `line ${lineNumber}: ${line.trim()} is not understood; expected run: background until "TEXT", or run: skip because REASON`,
  );
}

/** Commands of a block: one a line, several lines where a line ends in a backslash or opens a here-document. */
function commandsOf(lines) {
  const commands = [];
  let command = []; // lines of the one being read
  let hereEnd = null;
  for (const line of lines) {
    if (command.length === 0 && (line.trim() === '' || line.trimStart().startsWith('#'))) continue;
    command.push(line);
    if (hereEnd !== null) {
      if (line.trim() !== hereEnd) continue;
      hereEnd = null;
    } else {
      hereEnd = /<<-?\s*(['"]?)(\w+)\1/.exec(line)?.[2] ?? null;
      if (hereEnd !== null || line.endsWith('\\')) continue;
    }
    commands.push(command.join('\n'));
    command = [];
  }
  if (command.length > 0) commands.push(command.join('\n'));
  return commands;
}
