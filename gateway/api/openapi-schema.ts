/** The words that the description of the REST interface is written in (OpenAPI 3.1). */

export type Schema = Readonly<Record<string, unknown>>

export interface Operation {
  readonly operationId: string
  readonly summary: string
  readonly security?: readonly Schema[]
  readonly parameters?: readonly Schema[]
  readonly requestBody?: Schema
  readonly responses: Readonly<Record<string, Schema>>
}

export type Paths = Readonly<Record<string, Readonly<Partial<Record<'get' | 'put' | 'post' | 'delete', Operation>>>>>

/** A schema of the document, by its name. */
export const ref = (name: string): Schema => ({ $ref: `#/components/schemas/${name}` })
/** When, if ever. */
export const maybe: Schema = { type: ['string', 'null'], format: 'date-time' }
export const orNull = (type: string): Schema => ({ type: [type, 'null'] })
export const listOf = (items: Schema): Schema => ({ type: 'array', items })
export const text: Schema = { type: 'string' }
export const instant: Schema = { ...text, format: 'date-time' }
/** An answer without content that matters. */
export const nothing: Schema = { description: 'Done; there is nothing to tell.' }
/** The parameter of a path with `{id}`. */
export const id: Schema = { name: 'id', in: 'path', required: true, schema: text }
/** Where something derived may be used. */
export const networks: Schema = {
  ...listOf(text),
  description: 'Addresses and networks it is good from; anywhere if empty.',
}

/** All members are required unless `required` names those that are. */
export function object(properties: Readonly<Record<string, Schema>>, required = Object.keys(properties)): Schema {
  return { type: 'object', properties, required }
}

/** An answer. */
export function json(schema: Schema, summary: string): Schema {
  return { description: summary, content: { 'application/json': { schema } } }
}

const problem: Schema = {
  description: 'A problem document (RFC 9457). The reason of a refusal is told by explain alone.',
  content: { 'application/problem+json': { schema: ref('Problem') } },
}

/** An operation that may fail like any other. */
export function operation(
  parts: Omit<Operation, 'responses'> & { readonly ok: Schema; readonly status?: number },
): Operation {
  const { ok, status = 200, ...others } = parts
  return { ...others, responses: { [status]: ok, default: problem } }
}

/** Of lists that are told in parts, for administrators where they are those of others. */
export const listParameters: readonly Schema[] = [
  { name: 'all', in: 'query', schema: { type: 'boolean' }, description: 'Those of all. For administrators.' },
  { name: 'user', in: 'query', schema: text, description: 'Those of NAME@DOMAIN. For administrators.' },
  ...partParameters(),
]

/** How many, and where to go on. */
export function partParameters(): readonly Schema[] {
  return [
    { name: 'limit', in: 'query', schema: { type: 'integer', minimum: 1, maximum: 1000, default: 1000 } },
    { name: 'after', in: 'query', schema: text, description: 'What the answer before gave as `next`.' },
  ]
}

/** A list under `name`, with `next` where there is more. */
export function partOf(name: string, items: Schema): Schema {
  return object(
    { [name]: listOf(items), next: { ...text, description: 'There are more: ask again with it as `after`.' } },
    [name],
  )
}
