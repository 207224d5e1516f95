/** What the demo prints: lines to paste, each with what it will give. */

import { resolve } from 'node:path'
import type { DemoKey } from './access-keys.ts'
import type { UserName } from './people.ts'

const beamtime = '/asap3/petra3/p09/2026/11016023/raw/run0001.txt'

const onTape = '/pnfs/desy.de/exfel/raw/run0002.h5'

export interface Shown {
  readonly url: string
  readonly tokens: ReadonlyMap<UserName, string>
  /** Where S3 is heard. */
  readonly s3: string
  readonly keys: ReadonlyMap<UserName, DemoKey>
  /** alice's token for reading below /data-dust/group/p01 only. */
  readonly scoped: string
  /** Lines about the grades of enforcement. */
  readonly notes: readonly string[]
  readonly directory: string
}

/** What each line does, and the line. */
function stepsOf({ url, s3, tokens, keys, scoped, directory }: Shown): ReadonlyArray<readonly [string, string]> {
  const portolan = `${process.execPath} ${resolve(directory, '../gateway/cli.ts')}`
  const as = (name: UserName) => `-H 'Authorization: Bearer ${tokens.get(name)}'`
  const signed = (name: UserName) => {
    const { accessKeyId, secret } = keys.get(name) ?? { accessKeyId: '', secret: undefined }
    const key = `-u '${accessKeyId}:${secret?.reveal()}'`
    return `--aws-sigv4 aws:amz:us-east-1:s3 ${key} -H 'x-amz-content-sha256: UNSIGNED-PAYLOAD'`
  }
  const assume =
    '-d Action=AssumeRoleWithWebIdentity -d RoleArn=arn:aws:iam::000000000000:role/demo -d RoleSessionName=demo'
  return [
    ['alice reads a file of her own', `curl ${as('alice')} ${url}/data-dust/user/alice/hello.txt`],
    [
      'alice writes to the directory she shares with carol',
      `curl ${as('alice')} -d 'from alice' -X PUT ${url}/data-dust/group/p01/note.txt`,
    ],
    ['carol reads it there, by the ACL it inherited', `curl ${as('carol')} ${url}/data-dust/group/p01/note.txt`],
    ['bob reads his own space', `curl ${as('bob')} ${url}/data-dust/user/bob/hello.txt`],
    ['carol reads the beamtime of /asap3', `curl ${as('carol')} ${url}${beamtime}`],
    ['bob is refused there', `curl ${as('bob')} ${url}${beamtime}`],
    ['... and asks why', `curl ${as('bob')} '${url}/.portolan/api/v1/explain?action=read&path=${beamtime}'`],
    [
      "a token for reading group/p01 only, alice's, lists what leads there",
      `curl -H 'Authorization: Bearer ${scoped}' -H 'Accept: application/json' ${url}/data-dust/`,
    ],
    [
      'admin asks why bob is refused',
      `curl ${as('admin')} '${url}/.portolan/api/v1/explain?action=read&path=${beamtime}&user=bob'`,
    ],
    [
      'the last megabyte of a big file',
      `curl -s -r -1048576 -o /dev/null -w '%{http_code} %{size_download} bytes\\n' ${as('alice')} ${url}/pnfs/desy.de/exfel/raw/run0001.h5`,
    ],
    ['alice writes an object by S3', `curl ${signed('alice')} -d 'by S3' -X PUT ${s3}/data-dust/group/p01/s3.txt`],
    ['carol finds it as a file', `curl ${as('carol')} ${url}/data-dust/group/p01/s3.txt`],
    ['bob is refused by S3 as by HTTP', `curl ${signed('bob')} ${s3}/data-dust/group/p01/s3.txt`],
    ['a token of alice becomes temporary keys', `curl ${assume} -d WebIdentityToken=${tokens.get('alice')} ${s3}/`],
    ['carol is told that a file is on tape', `curl ${as('carol')} ${url}${onTape}`],
    ['... has it brought to disk', `${portolan} stage --as carol --wait ${onTape}`],
    [
      '... and reads it',
      `curl -s -o /dev/null -w '%{http_code} %{size_download} bytes\\n' ${as('carol')} ${url}${onTape}`,
    ],
  ]
}

export function demoText(shown: Shown): string {
  const { url, s3, keys, notes, directory } = shown
  const alice = keys.get('alice')
  return [
    '',
    `Portolan serves the demo on ${url}/ (Ctrl-C ends it)`,
    ...notes.map((note) => `  ${note}`),
    '',
    'Paste a line into another terminal:',
    ...stepsOf(shown).flatMap(([what, line]) => ['', `# ${what}`, line]),
    '',
    `S3 on ${s3}, path style, region us-east-1. Buckets: data-dust asap3 pnfs. Access keys:`,
    ...[...keys].map(([name, { accessKeyId, secret }]) => `  ${name.padEnd(6)} ${accessKeyId} ${secret.reveal()}`),
    'With the AWS command line, as alice:',
    `AWS_ACCESS_KEY_ID=${alice?.accessKeyId} AWS_SECRET_ACCESS_KEY=${alice?.secret.reveal()} aws --endpoint-url ${s3} s3 ls --recursive s3://data-dust/`,
    '',
    `In a browser: ${url}/data-dust/ and sign in with a name and password of ${directory}/demo.json`,
    `The same for programs: ${directory}/demo.json    Its configuration: ${directory}/portolan.yaml    Audit log: ${directory}/log/audit.jsonl`,
    '',
  ].join('\n')
}
