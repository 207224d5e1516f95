/** Uploads in parts as the usual programs send them: boto3, the AWS command line, rclone and s3cmd. */

import { execFile, execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { keyOf, openS3 } from './world.ts'

const execute = promisify(execFile)
const { accessKeyId, secret } = keyOf('alice')
const environment = {
  PATH: process.env.PATH ?? '',
  AWS_ACCESS_KEY_ID: accessKeyId,
  AWS_SECRET_ACCESS_KEY: secret,
  AWS_DEFAULT_REGION: 'us-east-1',
  AWS_EC2_METADATA_DISABLED: 'true',
}

/** Two parts and a bit for all of them. */
const content = randomBytes(21 * 1024 ** 2)

const boto3 = `
import sys, boto3
from boto3.s3.transfer import TransferConfig
endpoint, file, algorithm = sys.argv[1:]
client = boto3.client('s3', endpoint_url=endpoint)
config = TransferConfig(multipart_threshold=1, multipart_chunksize=8 * 1024 ** 2, max_concurrency=4)
extra = {'ChecksumAlgorithm': algorithm, 'Metadata': {'a': 'b'}, 'ContentType': 'text/x-parts'}
client.upload_file(file, 'data', 'boto3', Config=config, ExtraArgs=extra)
client.copy({'Bucket': 'data', 'Key': 'boto3'}, 'data', 'boto3 copy', Config=config)
data = open(file, 'rb').read()
for key in ('boto3', 'boto3 copy'):
    got = client.get_object(Bucket='data', Key=key, ChecksumMode='ENABLED')
    assert got['Body'].read() == data
    assert got['ETag'].endswith('-3"'), got['ETag']
head = client.head_object(Bucket='data', Key='boto3', ChecksumMode='ENABLED')
assert head['Metadata'] == {'a': 'b'} and head['ContentType'] == 'text/x-parts'
assert 'Checksum' + algorithm in head, head
assert client.get_object(Bucket='data', Key='boto3', PartNumber=2)['Body'].read() == data[8 * 1024 ** 2 : 16 * 1024 ** 2]
assert 'Uploads' not in client.list_multipart_uploads(Bucket='data')
`

async function prepare(t: Test) {
  const directory = mkdtempSync(join(tmpdir(), 'portolan-s3-clients-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  const world = await openS3(t, { storage: 'posix' })
  const file = join(directory, 'file')
  writeFileSync(file, content)
  const env = { ...environment, HOME: directory, RCLONE_CONFIG: join(directory, 'none') }
  return {
    ...{ url: world.url, file, directory },
    run: async (program: string, ...args: readonly string[]) => {
      try {
        await execute(program, args, { env, timeout: 120_000, maxBuffer: 2 ** 24 })
      } catch (error) {
        t.fail(`${program}: ${error instanceof Error && 'stderr' in error ? error.stderr : String(error)}`)
      }
    },
    stored: (name: string) => readFileSync(world.file(`/data/${name}`)),
  }
}

/** Why a program cannot be used; false where it can. */
function missing(program: string, ...args: readonly string[]): string | false {
  try {
    execFileSync(program, args, { stdio: 'ignore', env: environment })
    return false
  } catch {
    return `${program} is not installed`
  }
}

t.test('boto3', { skip: missing('python3', '-c', 'import boto3') }, async (t) => {
  const { run, url, file, stored } = await prepare(t)
  for (const algorithm of ['CRC32', 'SHA256']) await run('python3', '-c', boto3, url, file, algorithm)
  t.ok(stored('boto3').equals(content))
  t.ok(stored('boto3 copy').equals(content))
})

t.test('the AWS command line', { skip: missing('aws', '--version') }, async (t) => {
  const { run, url, file, directory, stored } = await prepare(t)
  const aws = (...args: readonly string[]) => run('aws', '--endpoint-url', url, ...args)
  await aws('s3', 'cp', '--no-progress', file, 's3://data/dir/aws')
  await aws('s3', 'cp', '--no-progress', 's3://data/dir/aws', 's3://data/dir/aws copy')
  await aws('s3', 'cp', '--no-progress', 's3://data/dir/aws copy', join(directory, 'back'))
  t.ok(stored('dir/aws').equals(content))
  t.ok(stored('dir/aws copy').equals(content))
  t.ok(readFileSync(join(directory, 'back')).equals(content))
})

t.test('rclone', { skip: missing('rclone', 'version') }, async (t) => {
  const { run, url, file, directory, stored } = await prepare(t)
  const access = ['--s3-endpoint', url, '--s3-access-key-id', accessKeyId, '--s3-secret-access-key', secret]
  const cut = ['--s3-upload-cutoff', '0', '--s3-chunk-size', '5M', '--s3-copy-cutoff', '8M', '--s3-provider', 'Other']
  const rclone = (...args: readonly string[]) => run('rclone', ...access, ...cut, '--s3-no-check-bucket', ...args)
  await rclone('copyto', file, ':s3:data/rclone')
  await rclone('copyto', ':s3:data/rclone', ':s3:data/rclone copy')
  await rclone('copyto', ':s3:data/rclone copy', join(directory, 'back'))
  t.ok(stored('rclone').equals(content))
  t.ok(stored('rclone copy').equals(content))
  t.ok(readFileSync(join(directory, 'back')).equals(content))
})

t.test('s3cmd', { skip: missing('s3cmd', '--version') }, async (t) => {
  const { run, url, file, directory, stored } = await prepare(t)
  const { host } = new URL(url)
  const access = ['--config=/dev/null', `--access_key=${accessKeyId}`, `--secret_key=${secret}`, '--no-ssl']
  const s3cmd = (...args: readonly string[]) =>
    run('s3cmd', ...access, `--host=${host}`, `--host-bucket=${host}`, '--no-progress', ...args)
  await s3cmd('--multipart-chunk-size-mb=5', 'put', file, 's3://data/s3cmd')
  await s3cmd('get', 's3://data/s3cmd', join(directory, 'back'))
  t.ok(stored('s3cmd').equals(content))
  t.ok(readFileSync(join(directory, 'back')).equals(content))
})
