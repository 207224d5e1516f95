/** Session policies (AWS IAM User Guide, "IAM JSON policy elements reference"): what they leave, and what is refused. */

import t from 'tap'
import type { Action } from '../../acl/needs.ts'
import type { Principal } from '../../acl/principal.ts'
import { permitsPath, permitsType } from '../../acl/scopes.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { grantsOfPolicy } from '../../gateway/s3/sts-policy.ts'

const buckets: Readonly<Record<string, string>> = { data: '/data', raw: '/pnfs/raw', all: '/' }
const lookup = async (name: string) => (buckets[name] === undefined ? undefined : parsePath(buckets[name]))
const arn = (rest: string) => `arn:aws:s3:::${rest}`

interface Line {
  readonly Effect: 'Allow' | 'Deny'
  readonly Action: string | readonly string[]
  readonly Resource: string | readonly string[]
}

const allow = (action: Line['Action'], ...resources: readonly string[]): Line => {
  return { Effect: 'Allow', Action: action, Resource: resources }
}
const deny = (action: Line['Action'], ...resources: readonly string[]): Line => {
  return { Effect: 'Deny', Action: action, Resource: resources }
}

async function policy(...lines: readonly Line[]): Promise<Principal> {
  const grants = await grantsOfPolicy(JSON.stringify({ Version: '2012-10-17', Statement: lines }), lookup)
  return { id: 'x', user: 'alice@desy.de', groups: new Set(), grants }
}

/** What of these is allowed, as "action path". */
async function left(lines: readonly Line[], tries: readonly string[]): Promise<string[]> {
  const principal = await policy(...lines)
  return tries.filter((each) => {
    const [action = '', at = ''] = each.split(' ')
    const path = parsePath(at)
    const type = action === 'list' || action === 'mkdir' ? 'directory' : 'file'
    if (!permitsPath(principal, action as Action, path).allowed) return false
    return permitsType(principal, action as Action, path, type).allowed
  })
}

const everywhere = (at: string) =>
  ['read', 'create', 'replace', 'remove', 'write-properties', 'stage', 'list'].map((action) => `${action} ${at}`)

t.test('Allow opens what it names and nothing else', async (t) => {
  const tries = [...everywhere('/data/in/x'), ...everywhere('/data/y'), ...everywhere('/pnfs/raw/z')]
  const rows: ReadonlyArray<readonly [readonly Line[], readonly string[]]> = [
    [[allow('s3:GetObject', arn('data/in/*'))], ['read /data/in/x']],
    [[allow('s3:GetObject', arn('data/*'))], ['read /data/in/x', 'read /data/y']],
    [[allow('s3:PutObject', arn('data/in/*'))], ['create /data/in/x', 'replace /data/in/x']],
    [[allow(['s3:DeleteObject'], arn('raw/*'))], ['remove /pnfs/raw/z']],
    [[allow('s3:GetObject', arn('data'))], []],
    [[allow('s3:ListBucket', arn('data/*'))], []],
    [[allow('s3:ListBucket', arn('data'))], ['list /data/in/x', 'list /data/y']],
    [[allow('S3:GETOBJECT', arn('data/y'))], ['read /data/y']],
    [[allow('s3:Get*', arn('data/y'))], ['read /data/y']],
    [[allow('s3:?utObject', arn('data/y'))], ['create /data/y', 'replace /data/y']],
    [[allow('s3:RestoreObject', '*')], ['stage /data/in/x', 'stage /data/y', 'stage /pnfs/raw/z']],
    [[allow('*', '*')], tries],
    [[allow('s3:*', arn('data'), arn('data/*'))], tries.slice(0, 14)],
    [[allow('s3:*Tagging', arn('all/data/*'))], ['write-properties /data/in/x', 'write-properties /data/y']],
  ]
  for (const [lines, expected] of rows) t.same(await left(lines, tries), expected, JSON.stringify(lines))
})

t.test('a key alone is that key alone', async (t) => {
  const tries = ['read /data/y', 'read /data/y/below', 'read /data/yy', 'mkdir /data/y', 'mkdir /data']
  t.same(await left([allow(['s3:GetObject', 's3:PutObject'], arn('data/y'))], tries), ['read /data/y', 'mkdir /data'])
})

t.test('Deny takes away, in whatever order, and more rather than less', async (t) => {
  const tries = [...everywhere('/data/in/x'), ...everywhere('/data/y')]
  const all = allow('s3:*', '*')
  const rows: ReadonlyArray<readonly [readonly Line[], readonly string[]]> = [
    [[all, deny('s3:*', '*')], []],
    [[deny('s3:*', '*'), all], []],
    [[all, deny('s3:*', arn('data/*'))], []],
    [[all, deny('s3:*', arn('data/in/*'))], everywhere('/data/y')],
    [[deny('s3:DeleteObject', arn('data/*')), all], tries.filter((each) => !each.startsWith('remove'))],
    [[all, deny('s3:GetObject', arn('data/y'))], tries.filter((each) => each !== 'read /data/y')],
    [
      [all, deny('s3:Put*', arn('data/in/*'))],
      tries.filter((each) => !/^(create|replace|write-).* \/data\/in/.test(each)),
    ],
    [[all, deny('s3:ListBucket', arn('data'))], tries.filter((each) => !each.startsWith('list'))],
    // Reading tags is open to whoever has any right, so none is left.
    [[all, deny('s3:GetObjectTagging', arn('data/in/*'))], everywhere('/data/y')],
    [[allow('s3:GetObject', arn('data/in/*')), deny('s3:GetObject', arn('data/*'))], []],
    [[allow('s3:GetObject', arn('data/in/*')), deny('s3:GetObject', arn('raw/*'))], ['read /data/in/x']],
    [[all, deny(['s3:GetObject', 's3:ListBucket'], arn('data/*'))], tries.filter((each) => !each.startsWith('read'))],
  ]
  for (const [lines, expected] of rows) t.same(await left(lines, tries), expected, JSON.stringify(lines))
  const principal = await policy(all, deny('s3:GetObject', arn('data/in/*')))
  t.equal(permitsPath(principal, 'read', parsePath('/data/inner')).allowed, true, 'whole names')
})

t.test('what is not understood is refused as a whole', async (t) => {
  const good = { Effect: 'Allow', Action: 's3:GetObject', Resource: arn('data/*') }
  const rows: readonly unknown[] = [
    ...['', 'x', [], null, 1, {}],
    { Statement: [] },
    { Statement: good, Version: '2020-01-01' },
    { Statement: good, Extra: 1 },
    `{"Statement":{"Effect":"Deny","Effect":"Allow","Action":"s3:*","Resource":"*"}}`,
    `{"Statement":${JSON.stringify(deny('s3:*', '*'))},"Statemen\\u0074":${JSON.stringify(good)}}`,
    { Statement: good, Id: 7 },
    { Statement: [good, 'x'] },
    { Statement: Array.from({ length: 33 }, () => good) },
    ...[
      { ...good, Effect: 'allow' },
      { ...good, Effect: undefined },
      { ...good, Sid: 1 },
      { ...good, Condition: { StringLike: { 's3:prefix': 'a' } } },
      { ...good, Principal: '*' },
      { Effect: 'Allow', NotAction: 's3:GetObject', Resource: '*' },
      { Effect: 'Allow', Action: 's3:GetObject', NotResource: '*' },
      { ...good, Action: [] },
      { ...good, Action: undefined },
      { ...good, Action: 5 },
      { ...good, Action: 'GetObject' },
      { ...good, Action: 's3:' },
      { ...good, Action: 's3:GetObjectVersion' },
      { ...good, Action: 's3:DeleteBucket' },
      { ...good, Action: 's3:FlyAway' },
      { ...good, Action: 'iam:*' },
      { ...good, Action: 's3:Get Object' },
      { ...good, Action: 's3:*?*?*?*?*?*?*?*?*?*?*?*?*?*' },
      { ...good, Effect: 'Deny', Action: 's3:ListAllMyBuckets' },
      { ...good, Effect: 'Deny', Action: 's3:GetBucketLocation', Resource: arn('data') },
      { ...good, Effect: 'Deny', Resource: arn('data') },
      { ...good, Effect: 'Deny', Action: 's3:ListBucket', Resource: [arn('data/*'), arn('raw/x')] },
    ].map((statement) => ({ Statement: statement })),
    ...[
      ...[
        '',
        'data/*',
        arn(''),
        arn('data*'),
        arn('*/x'),
        arn('data/a*'),
        arn('data/a*/b'),
        arn('data/a?'),
        arn('data//x'),
      ],
      ...[
        arn('data/../x'),
        arn('data/./x'),
        arn('data/dir/'),
        arn('data/'),
        arn('data//*'),
        arn('none/*'),
        arn('none'),
      ],
      ...[
        arn('DATA/*'),
        arn('data/$' + '{aws:username}/*'),
        'arn:aws:s3:eu:1:data/*',
        arn('data/a\0'),
        arn(`data/${'x'.repeat(256)}`),
      ],
    ].map((resource) => ({ Statement: { ...good, Resource: resource } })),
    { Statement: { ...good, Resource: [arn('data/*'), arn('none/*')] } },
    { Statement: { ...good, Resource: [] } },
    { Statement: { ...good, Resource: Array.from({ length: 65 }, () => '*') } },
  ]
  const refused = { stsCode: 'MalformedPolicyDocument', status: 400 }
  for (const row of rows) {
    const text = typeof row === 'string' ? row : JSON.stringify(row)
    t.match(await grantsOfPolicy(text, lookup).catch((error: unknown) => error), refused, text)
  }
})
