const COMMENT_OR_TEXT =
  /\/\*[\s\S]*?\*\/|\/\/[^\n]*|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`/g;

/** The source without comments; strings stay. Good enough for formatted TypeScript, not a parser. */
export function withoutComments(text: string): string {
  return text.replace(COMMENT_OR_TEXT, (token) => (token.startsWith('/') ? ' ' : token));
}

/** The source without comments and without what strings say; of a template, the expressions stay. */
export function codeOnly(text: string): string {
  return text.replace(COMMENT_OR_TEXT, (token) => {
    if (token.startsWith('/')) return ' ';
    if (!token.startsWith('`')) return "''";
    const expressions = [...token.matchAll(/\$\{([^}]*)\}/g)].map(([, expression]) => expression);
    return `\`${expressions.join(' ')}\``;
  });
}
