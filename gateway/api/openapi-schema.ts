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
export const orNull = (type: string): Schema => ({ type: [type, 'null'] })
export const listOf = (items: Schema): Schema => ({ type: 'array', items })
export const text: Schema = { type: 'string' }

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
