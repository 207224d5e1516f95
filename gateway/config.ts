/**
 * The configuration: one YAML file. A wrong key or value is an error at start, with its line, what
 * was expected, and the key that was probably meant.
 */

import { readFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { type Document, LineCounter, parseDocument, visit } from 'yaml'
import type { z } from 'zod'
import { ConfigError, type KeyPath, Places, type Problem } from './config/problems.ts'
import { brokenRules } from './config/rules.ts'
import { schemaFor } from './config/schema.ts'

export { ConfigError, type Problem } from './config/problems.ts'
export type { SecretRef } from './config/schema.ts'

type DeepReadonly<T> = T extends string | number | boolean | undefined
  ? T
  : T extends readonly (infer Item)[]
    ? readonly DeepReadonly<Item>[]
    : { readonly [Key in keyof T]: DeepReadonly<T[Key]> }

/** As written in the file, with every default filled in, durations in milliseconds and sizes in bytes. */
export type Config = DeepReadonly<z.output<ReturnType<typeof schemaFor>>> & {
  /** Where each rule of `mapping` is in the file, from 1. */
  readonly mappingLines: readonly number[]
}
export type MountConfig = Config['mounts'][number]
export type IssuerConfig = Config['issuers'][number]
export type ListenerConfig = Config['listen'][number]

const maxBytes = 4 * 2 ** 20
/** Few are allowed, so that a short file can neither become a huge value nor take long to read. */
const maxAliases = 100

/** Pure: `file` is only named in messages and is where relative file names start. Throws ConfigError. */
export function parseConfig(text: string, file: string): Config {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: true })
  const places = new Places(file, document, lines)
  const broken = [...document.errors, ...document.warnings]
  if (broken.length > 0) {
    throw new ConfigError(broken.map((error) => places.textProblem(error.pos[0], error.message)))
  }
  const schema = schemaFor(dirname(file))
  const result = schema.safeParse(valueIn(document, places))
  if (!result.success) throw new ConfigError(result.error.issues.flatMap((issue) => problemsOf(issue, places)))
  const rules = brokenRules(result.data)
  if (rules.length > 0) throw new ConfigError(rules.map(({ path, text }) => places.problem(path, text)))
  const mappingLines = result.data.mapping.map((_, index) => places.problem(['mapping', index], '').line)
  return { ...result.data, mappingLines }
}

/** Reads and parses a file. Throws ConfigError, also when the file cannot be read. */
export async function loadConfig(file: string): Promise<Config> {
  return parseConfig(await readConfigText(file), file)
}

/** The bytes of a configuration file as text. Throws ConfigError. */
export async function readConfigText(file: string): Promise<string> {
  const problem = (text: string): Problem => ({ file, line: 1, column: 1, key: '', text })
  const bytes = await readFile(file).catch((error: NodeJS.ErrnoException) => {
    throw new ConfigError([problem(`cannot be read (${error.code ?? 'unknown'})`)], error)
  })
  if (bytes.length > maxBytes) throw new ConfigError([problem('is longer than 4 MiB')])
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (cause) {
    throw new ConfigError([problem('is not UTF-8')], cause)
  }
}

function valueIn(document: Document.Parsed, places: Places): unknown {
  let aliases = 0
  visit(document, {
    Alias(_, alias) {
      if (++aliases > maxAliases) {
        throw new ConfigError([places.textProblem(alias.range?.[0] ?? 0, `more than ${maxAliases} aliases`)])
      }
      if (alias.resolve(document)) return
      throw new ConfigError([places.textProblem(alias.range?.[0] ?? 0, `no anchor &${alias.source} above`)])
    },
  })
  try {
    return document.toJS({ maxAliasCount: maxAliases })
  } catch (cause) {
    throw new ConfigError([places.textProblem(0, 'the aliases of this file make too large a value')], cause)
  }
}

function problemsOf(issue: z.core.$ZodIssue, places: Places): Problem[] {
  const path = issue.path.map((part) => (typeof part === 'symbol' ? String(part) : part)) satisfies KeyPath
  if (issue.code !== 'unrecognized_keys') {
    return [places.problem(path, places.isGiven(path) ? issue.message : 'is missing')]
  }
  // `section` gives one line of message for each key, in order.
  const texts = issue.message.split('\n')
  return issue.keys.map((key, index) => places.keyProblem(path, key, texts[index] ?? 'unknown key'))
}
