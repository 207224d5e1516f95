/** Reads the blocks of docs/semantics.md. */

export interface Played {
  /** The line as it stands on the page. */
  readonly line: string
  readonly scopes: string | undefined
  /** By S3: the target is a bucket with a key, and the body of a refusal its code. */
  readonly s3: boolean
  readonly who: string
  readonly method: string
  readonly target: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | undefined
  readonly status: number
  readonly answerHeaders: Readonly<Record<string, string>>
  readonly answerBody: string | undefined
}

const grammar =
  /^(?:token:(?<scopes>\S+) )?(?<s3>s3:)?(?<who>[a-z]+) (?<method>[A-Z]+) (?<target>\S+)(?<headers>(?: \{[^{}]+: [^{}]*\})*)(?: "(?<body>[^"]*)")? → (?<status>\d{3})(?<answerHeaders>(?: \{[^{}]+: [^{}]*\})*)(?: "(?<answerBody>[^"]*)")?$/

/** Lines of all ```http blocks in order, with their heading. A line that does not follow the grammar is given as it is. */
export function linesOf(page: string): { readonly heading: string; readonly line: Played | string }[] {
  const found: { heading: string; line: Played | string }[] = []
  let heading = ''
  let inside = false
  for (const line of page.split('\n')) {
    if (inside && line.startsWith('```')) inside = false
    else if (inside && line.trim() !== '') found.push({ heading, line: parse(line) ?? line })
    else if (line.startsWith('```http')) inside = true
    else if (!inside) heading = /^#+ (.*)$/.exec(line)?.[1] ?? heading
  }
  return found
}

function parse(line: string): Played | undefined {
  const { groups } = grammar.exec(line) ?? {}
  if (!groups) return undefined
  const { scopes, s3, who = '', method = '', target = '', headers, body, status, answerHeaders, answerBody } = groups
  return {
    line,
    scopes: scopes?.replaceAll(',', ' '),
    s3: s3 !== undefined,
    who,
    method,
    target,
    headers: headersOf(headers ?? ''),
    body,
    status: Number(status),
    answerHeaders: headersOf(answerHeaders ?? ''),
    answerBody,
  }
}

function headersOf(text: string): Record<string, string> {
  const headers: Record<string, string> = {}
  for (const [, name = '', value = ''] of text.matchAll(/\{([^{}:]+): ([^{}]*)\}/g)) headers[name] = value
  return headers
}
