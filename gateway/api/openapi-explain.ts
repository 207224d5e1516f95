/** Why something is allowed or refused, and who may do it: in OpenAPI. */

import { actions } from '../../acl/needs.ts'
import { json, listOf, object, operation, orNull, type Paths, ref, type Schema, text } from './openapi-schema.ts'

const path: Schema = {
  name: 'path',
  in: 'query',
  required: true,
  schema: text,
  description: 'An absolute path of the namespace, percent-encoded once.',
}

const action: Schema = {
  name: 'action',
  in: 'query',
  schema: { enum: actions, default: 'read' },
  description: 'What is being tried.',
}

const user: Schema = {
  name: 'user',
  in: 'query',
  schema: text,
  description: 'An account to ask about instead of the caller. For administrators.',
}

const all: Schema = {
  name: 'all',
  in: 'query',
  schema: { const: 'true' },
  description: 'Also those who may not.',
}

const yesNo: Schema = { type: 'boolean' }
const reason = object({ rule: text, text, path: text, ace: { type: 'integer' } }, ['rule', 'text'])

export const explainSchemas = {
  DecidingEntry: object(
    {
      path: { type: 'string', description: 'The object whose ACL it is in.' },
      index: { type: 'integer', description: 'From 0.' },
      text: { type: 'string', description: 'As nfs4_getfacl writes it.' },
      inherited: yesNo,
      from: { type: 'string', description: 'The directory whose own entry it came from, where that can be told.' },
    },
    ['path', 'index', 'text', 'inherited'],
  ),
  Explanation: object(
    {
      principal: object({ id: text, user: orNull('string'), groups: listOf(text) }, ['id', 'groups']),
      identity: {
        ...listOf(object({ step: text, passed: yesNo, text })),
        description: 'How the credential came to stand for the account.',
      },
      action: { enum: actions },
      path: text,
      allowed: { enum: [true, false, 'unknown'] },
      steps: listOf(
        object(
          {
            check: { enum: ['credential', 'scope', 'mount', 'traverse', 'acl', 'back end'] },
            allowed: { enum: [true, false, 'not reached', 'decided elsewhere'] },
            reason,
            entry: ref('DecidingEntry'),
            directories: {
              ...listOf(
                object({ path: text, allowed: yesNo, reason, entry: ref('DecidingEntry') }, [
                  'path',
                  'allowed',
                  'reason',
                ]),
              ),
              description: 'Of `traverse`: those that were passed, and the first that is closed.',
            },
          },
          ['check', 'allowed', 'reason'],
        ),
      ),
      advice: { type: 'string', description: 'What can be done about it.' },
    },
    ['principal', 'action', 'path', 'allowed', 'steps'],
  ),
  EffectiveRights: object({
    path: text,
    action: { enum: actions },
    type: { enum: ['file', 'directory', 'symlink', 'other', null], description: 'Null for what is not there yet.' },
    owner: orNull('string'),
    group: orNull('string'),
    exact: { type: 'boolean', description: 'False where the storage decides, and its ACLs are all there is to go by.' },
    anonymous: { type: 'boolean', description: 'Also callers without a credential.' },
    lookedAt: { type: 'integer', description: 'Accounts.' },
    complete: yesNo,
    users: listOf(
      object({ user: text, allowed: yesNo, rule: text, text, path: text, ace: { type: 'integer' } }, [
        'user',
        'allowed',
        'rule',
        'text',
      ]),
    ),
    notes: { ...listOf(text), description: 'What the answer leaves open.' },
  }),
}

export const explainPaths: Paths = {
  '/explain': {
    get: operation({
      operationId: 'explain',
      summary: 'What would be answered, and why; also to a caller whose credential is refused',
      parameters: [path, action, user],
      ok: json(ref('Explanation'), 'The checks in their order.'),
    }),
  },
  '/acl/effective': {
    get: operation({
      operationId: 'effective',
      summary: 'Who may do it, of all accounts; for administrators, and whoever may read the ACL',
      parameters: [path, action, all],
      ok: json(ref('EffectiveRights'), 'By the ACLs as they are now.'),
    }),
  },
}
