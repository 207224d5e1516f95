/** boto3 at the S3 door, as programs use it: transfers in parts, ranges, metadata, pages of keys, forms for browsers. */

import { randomBytes } from 'node:crypto'
import t from 'tap'
import { Desk, filesBelow, startForPrograms, without } from './programs.ts'

t.setTimeout(280_000)

const skip = without('python')
if (skip) t.plan(0, skip)
const gateway = await startForPrograms(t)

/** Before each script; what it is given besides the endpoint is `args`. */
const prelude = `
import sys, json, io, datetime, boto3
from botocore.config import Config
from botocore.exceptions import ClientError
endpoint, *args = sys.argv[1:]
s3 = boto3.client('s3', endpoint_url=endpoint, config=Config(retries={'max_attempts': 0}))
def code(call, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        return str(error.response['ResponseMetadata']['HTTPStatusCode']) + ' ' + error.response['Error']['Code']
    return 'no error'
def same(got, wanted):
    assert got == wanted, (got, wanted)
`

const transfers = `${prelude}
from boto3.s3.transfer import TransferConfig
file, back = args
data = open(file, 'rb').read()
parts = TransferConfig(multipart_threshold=5 * 1024 ** 2, multipart_chunksize=5 * 1024 ** 2, max_concurrency=6)
s3.upload_file(file, 'mine', 'boto3/big', Config=parts, ExtraArgs={'Metadata': {'who': 'me'}})
head = s3.head_object(Bucket='mine', Key='boto3/big')
same(head['ContentLength'], len(data))
same(head['Metadata'], {'who': 'me'})
assert head['ETag'].endswith('-5"'), head
s3.download_file('mine', 'boto3/big', back, Config=parts)
same(open(back, 'rb').read(), data)
s3.upload_fileobj(io.BytesIO(data), 'mine', 'boto3/object')
for algorithm in ('CRC32', 'SHA256'):
    extra = {'ChecksumAlgorithm': algorithm, 'ContentType': 'text/x-parts'}
    s3.upload_file(file, 'mine', 'boto3/' + algorithm, Config=parts, ExtraArgs=extra)
    s3.copy({'Bucket': 'mine', 'Key': 'boto3/' + algorithm}, 'mine', 'boto3/copy', Config=parts)
    for key in ('boto3/' + algorithm, 'boto3/copy'):
        got = s3.get_object(Bucket='mine', Key=key, ChecksumMode='ENABLED')
        assert got['Body'].read() == data and got['ETag'].endswith('-5"'), got
    head = s3.head_object(Bucket='mine', Key='boto3/' + algorithm, ChecksumMode='ENABLED')
    assert head['ContentType'] == 'text/x-parts' and 'Checksum' + algorithm in head, head
assert 'Uploads' not in s3.list_multipart_uploads(Bucket='mine')
head = s3.head_object(Bucket='mine', Key='boto3/big')
get = lambda **more: s3.get_object(Bucket='mine', Key='boto3/big', **more)
same(get(Range='bytes=0-9')['Body'].read(), data[:10])
part = get(Range='bytes=5242870-5242889')
same(part['Body'].read(), data[5242870:5242890])
same(part['ContentRange'], 'bytes 5242870-5242889/%d' % len(data))
same(get(Range='bytes=-7')['Body'].read(), data[-7:])
same(code(get, Range='bytes=%d-' % len(data)), '416 InvalidRange')
same(get(PartNumber=2)['Body'].read(), data[5242880:10485760])
same(code(get, IfMatch='"0123456789abcdef0123456789abcdef"'), '412 PreconditionFailed')
same(code(get, IfNoneMatch=head['ETag']), '304 304')
body = get()['Body']
same(b''.join(body.iter_chunks(100_000)), data)
`

const properties = `${prelude}
put = lambda key, body=b'x', **more: s3.put_object(Bucket='mine', Key=key, Body=body, **more)
import hashlib
answer = put('props/a', b'hello', ContentType='text/x-hello', CacheControl='no-store', ContentDisposition='inline',
    ContentEncoding='x-none', ContentLanguage='de', Expires=datetime.datetime(2030, 1, 1), Metadata={'a': 'b', 'c-d': 'e f'},
    Tagging='one=1&two=zwei%20drei')
same(answer['ETag'], '"%s"' % hashlib.md5(b'hello').hexdigest())
def properties(key):
    head = s3.head_object(Bucket='mine', Key=key)
    return [head.get(name) for name in ('ContentType', 'CacheControl', 'ContentDisposition', 'ContentEncoding', 'ContentLanguage', 'Metadata')]
was = ['text/x-hello', 'no-store', 'inline', 'x-none', 'de', {'a': 'b', 'c-d': 'e f'}]
same(properties('props/a'), was)
tags = lambda key: s3.get_object_tagging(Bucket='mine', Key=key)['TagSet']
same(tags('props/a'), [{'Key': 'one', 'Value': '1'}, {'Key': 'two', 'Value': 'zwei drei'}])
copy = lambda key, **more: s3.copy_object(Bucket='mine', Key=key, CopySource={'Bucket': 'mine', 'Key': 'props/a'}, **more)
same(copy('props/b')['CopyObjectResult']['ETag'], answer['ETag'])
same(properties('props/b'), was)
same(tags('props/b'), tags('props/a'))
copy('props/c', MetadataDirective='REPLACE', Metadata={'new': 'value'}, ContentType='text/css', TaggingDirective='REPLACE', Tagging='x=y')
same(properties('props/c')[0], 'text/css')
same(properties('props/c')[-1], {'new': 'value'})
same(tags('props/c'), [{'Key': 'x', 'Value': 'y'}])
same(code(copy, key='props/a'), '400 InvalidRequest')
copy('props/a', MetadataDirective='REPLACE', Metadata={'self': 'copied'})
same(properties('props/a')[-1], {'self': 'copied'})
same(s3.get_object(Bucket='mine', Key='props/a')['Body'].read(), b'hello')
s3.put_object_tagging(Bucket='mine', Key='props/a', Tagging={'TagSet': [{'Key': 'three', 'Value': ''}]})
same(tags('props/a'), [{'Key': 'three', 'Value': ''}])
s3.delete_object_tagging(Bucket='mine', Key='props/a')
same(tags('props/a'), [])
for algorithm in ('CRC32', 'SHA1', 'SHA256'):
    sent = put('props/sum', b'sum', ChecksumAlgorithm=algorithm)
    read = s3.get_object(Bucket='mine', Key='props/sum', ChecksumMode='ENABLED')
    same(read['Body'].read(), b'sum')
    same(read['Checksum' + algorithm], sent['Checksum' + algorithm])
same(code(put, key='props/sum', ContentMD5='1B2M2Y8AsgTpgAmY7PhCfg=='), '400 BadDigest')
same(code(s3.head_object, Bucket='mine', Key='props/none'), '404 404')
same(code(s3.get_object, Bucket='mine', Key='props/none'), '404 NoSuchKey')
same(code(s3.get_object, Bucket='none', Key='props/none'), '404 NoSuchBucket')
import urllib.request, urllib.error
url = boto3.client('s3', endpoint_url=endpoint, config=Config(signature_version='s3v4')).generate_presigned_url('put_object',
    Params={'Bucket': 'mine', 'Key': 'props/by url'}, ExpiresIn=60)
same(urllib.request.urlopen(urllib.request.Request(url, method='PUT', data=b'by url')).status, 200)
same(s3.get_object(Bucket='mine', Key='props/by url')['Body'].read(), b'by url')
try:
    urllib.request.urlopen(s3.generate_presigned_url('get_object', Params={'Bucket': 'mine', 'Key': 'props/a'}))
    assert False, 'a URL signed in the way before the last is good'
except urllib.error.HTTPError as error:
    same(error.code, 400)
    assert b'AWS4-HMAC-SHA256' in error.read()
resource = boto3.resource('s3', endpoint_url=endpoint)
same(resource.Object('mine', 'props/b').get()['Body'].read(), b'hello')
same(code(put, key='a/../b'), '400 InvalidArgument')
same(code(put, key='k' * 1025), '400 KeyTooLongError')
`

const listing = `${prelude}
from concurrent.futures import ThreadPoolExecutor
wanted = sorted(['list/%s/%d-\\u00fc %%2B+&' % ('abcdefg'[at % 7], at) for at in range(250)] + ['list/a-b', 'list/a.b', 'list/\\U0001d11e', 'list/\\uffee'],
    key=lambda key: key.encode())
with ThreadPoolExecutor(4) as pool:
    list(pool.map(lambda key: s3.put_object(Bucket='mine', Key=key, Body=b''), wanted))
def pages(operation, size, **more):
    found, prefixes = [], []
    for page in s3.get_paginator(operation).paginate(Bucket='mine', PaginationConfig={'PageSize': size}, **more):
        assert len(page.get('Contents', [])) + len(page.get('CommonPrefixes', [])) <= size
        found += [each['Key'] for each in page.get('Contents', [])]
        prefixes += [each['Prefix'] for each in page.get('CommonPrefixes', [])]
    return found, prefixes
for operation in ('list_objects_v2', 'list_objects'):
    for size in (1000, 37):
        same(pages(operation, size, Prefix='list/'), (wanted, []))
    same(pages(operation, 3, Prefix='list/', Delimiter='/'), ([key for key in wanted if key.count('/') == 1], ['list/%s/' % letter for letter in 'abcdefg']))
    same(pages(operation, 100, Prefix='list/a', Delimiter='-')[1], ['list/a-'] + sorted({key[:key.index('-') + 1] for key in wanted if key.startswith('list/a/')}))
same(pages('list_objects_v2', 1000, Prefix='list/', StartAfter='list/g/')[0], [key for key in wanted if key > 'list/g/'])
versions = s3.list_object_versions(Bucket='mine', Prefix='list/a/')
same([each['VersionId'] for each in versions['Versions']], ['null'] * len([key for key in wanted if key.startswith('list/a/')]))
same(code(s3.list_objects_v2, Bucket='mine', ContinuationToken='rubbish'), '400 InvalidArgument')
gone = s3.delete_objects(Bucket='mine', Delete={'Objects': [{'Key': key} for key in wanted]})
same(sorted(each['Key'] for each in gone['Deleted']), sorted(wanted))
assert 'Errors' not in gone, gone
same([key for key in pages('list_objects_v2', 1000, Prefix='list/')[0] if not key.endswith('/')], [])
boto3.resource('s3', endpoint_url=endpoint).Bucket('mine').objects.filter(Prefix='list/').delete()
bucket = boto3.resource('s3', endpoint_url=endpoint).create_bucket(Bucket='boto3-bucket')
bucket.put_object(Key='a/b/c', Body=b'x')
same(code(bucket.delete), '409 BucketNotEmpty')
bucket.objects.all().delete()
bucket.delete()
same(code(s3.head_bucket, Bucket='boto3-bucket'), '404 404')
`

const form = `${prelude}
key, *more = args
# Without this, this boto3 signs forms and URLs in the way before the last.
s3 = boto3.client('s3', endpoint_url=endpoint, config=Config(signature_version='s3v4'))
print(json.dumps(s3.generate_presigned_post('mine', key, ExpiresIn=60, Fields={'x-amz-meta-by': 'form', 'success_action_status': '201'},
    Conditions=[{'x-amz-meta-by': 'form'}, {'success_action_status': '201'}, ['content-length-range', 1, 20]])))
`

t.test('files in parts, and ranges of them', { skip }, async (t) => {
  const desk = new Desk(t, gateway, 'alice')
  const data = randomBytes(23_000_000)
  await desk.python(t, transfers, desk.write('big', data), desk.path('back'))
  t.ok(desk.stored('/lab/alice/boto3/big').equals(data))
  for (const name of ['object', 'CRC32', 'copy']) t.ok(desk.stored(`/lab/alice/boto3/${name}`).equals(data), name)
})

t.test('metadata, tags and checksums stay with objects and their copies', { skip }, async (t) => {
  const desk = new Desk(t, gateway, 'alice')
  await desk.python(t, properties)
  t.equal(desk.stored('/lab/alice/props/a').toString(), 'hello')
})

t.test('keys by pages, in the order of their bytes, and many removed at once', { skip }, async (t) => {
  const desk = new Desk(t, gateway, 'alice')
  await desk.python(t, listing)
  t.same(filesBelow(`${gateway.tree('/lab')}/alice/list`), [])
})

t.test('a form lets a browser store what it says, and nothing else', { skip: skip || without('curl') }, async (t) => {
  const desk = new Desk(t, gateway, 'alice')
  // biome-ignore lint/suspicious/noTemplateCurlyInString: what stands in a form for the name of its file
  const made = await desk.python(t, form, 'forms/${filename}')
  const { url, fields }: { url: string; fields: Record<string, string> } = JSON.parse(made)
  const post = (name: string, content: string, changed: Readonly<Record<string, string>> = {}) => {
    desk.write(name, content)
    const form = Object.entries({ ...fields, ...changed }).flatMap(([field, value]) => [
      '--form-string',
      `${field}=${value}`,
    ])
    return desk.run('curl', '-sS', '-w', '%{http_code}', ...form, '-F', `file=@${name}`, url)
  }
  t.match((await post('a.txt', 'by a form')).out, /<Key>forms\/a\.txt<\/Key>.*201$/s)
  t.equal(desk.stored('/lab/alice/forms/a.txt').toString(), 'by a form')
  t.match((await post('b.txt', 'more than the form lets through')).out, /<Code>EntityTooLarge<\/Code>.*400$/s)
  t.match((await post('c.txt', 'c', { 'x-amz-meta-by': 'me' })).out, /<Code>AccessDenied<\/Code>.*403$/s)
  t.match(
    (await post('d.txt', 'd', { 'x-amz-signature': '0'.repeat(64) })).out,
    /<Code>SignatureDoesNotMatch<\/Code>.*403$/s,
  )
  t.same(filesBelow(`${gateway.tree('/lab')}/alice/forms`), ['a.txt'])
})

t.test('somebody else is refused with the codes that programs know', { skip }, async (t) => {
  await gateway.put('/lab/alice/secret', 'alice', 'not for bob')
  const desk = new Desk(t, gateway, 'bob')
  const script = `${prelude}
same(code(s3.get_object, Bucket='lab', Key='alice/secret'), '403 AccessDenied')
same(code(s3.head_object, Bucket='lab', Key='alice/secret'), '403 403')
same(code(s3.get_object, Bucket='lab', Key='alice/none'), '403 AccessDenied')
same(code(s3.put_object, Bucket='lab', Key='alice/new', Body=b'x'), '403 AccessDenied')
same(code(s3.delete_object, Bucket='lab', Key='alice/secret'), '403 AccessDenied')
same(code(s3.list_objects_v2, Bucket='lab', Prefix='alice/'), '403 AccessDenied')
same(code(s3.copy_object, Bucket='mine', Key='stolen', CopySource='lab/alice/secret'), '403 AccessDenied')
same(code(s3.create_multipart_upload, Bucket='lab', Key='alice/new'), '403 AccessDenied')
same(code(s3.list_objects_v2, Bucket='p01'), '403 AccessDenied')
gone = s3.delete_objects(Bucket='lab', Delete={'Objects': [{'Key': 'alice/secret'}, {'Key': 'bob/none'}]})
same([each['Code'] for each in gone['Errors']], ['AccessDenied'])
keys = [each['Key'] for each in s3.list_objects_v2(Bucket='lab').get('Contents', [])]
assert not [key for key in keys if key.startswith(('alice/', 'p01/'))], keys
`
  await desk.python(t, script)
  t.equal(desk.stored('/lab/alice/secret').toString(), 'not for bob')
})
