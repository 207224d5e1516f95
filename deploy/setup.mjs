/**
 * What `npm start`, `npm test` and the other scripts call. Runs on any Node from 18 on and without any
 * package: it brings the locked packages (Node 26 among them), then hands over to them.
 *
 *   node deploy/setup.mjs start [--port N]      the gateway on the embedded demo
 *   node deploy/setup.mjs check                 types, format, lint, import rules
 *   node deploy/setup.mjs test [FILE...]        check, then all tests (or these files)
 *   node deploy/setup.mjs test:long             soak and long fuzz
 *   node deploy/setup.mjs bench [NAME...]       measurements against real peers
 *   node deploy/setup.mjs build                 dist/, for `npm pack`
 */

import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const home = fileURLToPath(new URL('..', import.meta.url))
const bin = `${home}node_modules/.bin`

const libraries = `/usr/lib/${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu`

/** Debian packages by what needs them, each with a file that shows it is there. */
const debian = {
  test: {
    curl: '/usr/bin/curl',
    attr: '/usr/bin/getfattr',
    acl: '/usr/bin/setfacl',
    fuse3: '/usr/bin/fusermount3',
    openssl: '/usr/bin/openssl',
    procps: '/usr/bin/pgrep',
    // A guest kernel with an NFSv4 server and client and with quotas; Debian has it for this processor alone.
    ...(process.arch === 'x64' && { 'user-mode-linux': '/usr/bin/linux.uml' }),
    kmod: '/sbin/modprobe',
    iproute2: '/sbin/ip',
    gcc: '/usr/bin/gcc',
    'libc6-dev': '/usr/include/stdio.h',
    // Kerberos: what the package kerberos is compiled with, a KDC, its clients, and clocks that are wrong.
    'g++': '/usr/bin/g++',
    'libkrb5-dev': '/usr/include/gssapi/gssapi_krb5.h',
    'krb5-kdc': '/usr/sbin/krb5kdc',
    'krb5-admin-server': '/usr/sbin/kadmin.local',
    'krb5-user': '/usr/bin/kinit',
    faketime: '/usr/bin/faketime',
    // A directory server.
    slapd: '/usr/sbin/slapd',
    'ldap-utils': '/usr/bin/ldapmodify',
    'nfs-kernel-server': '/usr/sbin/rpc.nfsd',
    'nfs-common': '/sbin/mount.nfs4',
    'nfs4-acl-tools': '/usr/bin/nfs4_getfacl',
    e2fsprogs: '/sbin/mkfs.ext4',
    quota: '/usr/sbin/setquota',
    // A grid storage server.
    'xrootd-server': '/usr/bin/xrootd',
    'xrootd-server-plugins': `${libraries}/libXrdHttp-5.so`,
    'xrootd-scitokens-plugins': `${libraries}/libXrdAccSciTokens-5.so`,
    'xrootd-client': '/usr/bin/xrdfs',
    // An object store.
    'ceph-mon': '/usr/bin/ceph-mon',
    'ceph-osd': '/usr/bin/ceph-osd',
    'ceph-common': '/usr/bin/ceph',
    radosgw: '/usr/bin/radosgw',
    'util-linux': '/usr/bin/setpriv',
    // The proxy at which TLS with certificates of callers ends.
    nginx: '/usr/sbin/nginx',
    // Clients and suites of WebDAV and the grid, and others' macaroons.
    litmus: '/usr/bin/litmus',
    davfs2: '/usr/sbin/mount.davfs',
    cadaver: '/usr/bin/cadaver',
    rclone: '/usr/bin/rclone',
    davix: '/usr/bin/davix-get',
    'gfal2-util-scripts': '/usr/bin/gfal-copy',
    'gfal2-plugin-http': `${libraries}/gfal2-plugins/libgfal_plugin_http.so`,
    'gfal2-plugin-file': `${libraries}/gfal2-plugins/libgfal_plugin_file.so`,
    // Clients of object stores.
    awscli: '/usr/bin/aws',
    'python3-boto3': '/usr/lib/python3/dist-packages/boto3/__init__.py',
    s3cmd: '/usr/bin/s3cmd',
    s3fs: '/usr/bin/s3fs',
    // Programs that work in mounted directories.
    git: '/usr/bin/git',
    rsync: '/usr/bin/rsync',
    sqlite3: '/usr/bin/sqlite3',
    python3: '/usr/bin/python3',
    fio: '/usr/bin/fio',
    // A browser, for the pages.
    chromium: '/usr/bin/chromium',
    libmacaroons0: `${libraries}/libmacaroons.so.0`,
    'python3-pymacaroons': '/usr/lib/python3/dist-packages/pymacaroons/__init__.py',
  },
  bench: {
    nginx: '/usr/sbin/nginx',
    apache2: '/usr/sbin/apache2',
    'apache2-utils': '/usr/bin/htpasswd',
    rclone: '/usr/bin/rclone',
    wrk: '/usr/bin/wrk',
  },
}

function fail(message) {
  console.error(message)
  process.exit(1)
}

/** Installs the locked packages, once per lock file. */
function bringPackages() {
  const lock = createHash('sha256')
    .update(readFileSync(`${home}package-lock.json`))
    .digest('hex')
  const stamp = `${home}node_modules/.portolan-lock`
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === lock && existsSync(`${bin}/node`)) return
  console.error('Installing packages (npm ci) ...')
  const npm = process.env.npm_execpath
  // No package needs its install script: what is native comes prebuilt inside packages, or is built below.
  const args = ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']
  const done = npm
    ? spawnSync(process.execPath, [npm, ...args], { cwd: home, stdio: ['ignore', 2, 2] })
    : spawnSync('npm', args, { cwd: home, stdio: ['ignore', 2, 2] })
  if (done.status !== 0)
    fail('npm ci failed: see above. Check that the npm registry can be reached, then run the command again.')
  const tools = { node: `node-linux-${process.arch}/bin/node`, biome: `@biomejs/cli-linux-${process.arch}/biome` }
  for (const [name, file] of Object.entries(tools)) {
    if (!existsSync(`${home}node_modules/${file}`))
      fail(`npm brought no ${name} for this platform: Portolan runs on Linux, x64 or arm64.`)
    // Not every npm links commands of optional packages, and Biome's has none.
    rmSync(`${bin}/${name}`, { force: true })
    symlinkSync(`../${file}`, `${bin}/${name}`)
  }
  writeFileSync(stamp, lock)
}

/** Compiles the one package that has to be, where a compiler and the headers are. The system's own libraries are loaded when it runs. */
function buildKerberos() {
  const modules = `${home}node_modules`
  const place = `${modules}/kerberos`
  const built = `${place}/build/Release/kerberos.node`
  if (!existsSync(`${place}/src`) || existsSync(built)) return
  if (!existsSync(debian.test['g++']) || !existsSync(debian.test['libkrb5-dev'])) {
    console.error('Without Kerberos tickets: for these, apt-get install g++ libkrb5-dev and run this again.')
    return
  }
  console.error('Compiling the package kerberos ...')
  mkdirSync(`${place}/build/Release`, { recursive: true })
  const sources = ['kerberos.cc', 'unix/base64.cc', 'unix/kerberos_gss.cc', 'unix/kerberos_unix.cc']
  const done = spawnSync(
    'g++',
    [
      ...['-shared', '-fPIC', '-O2', '-std=c++17', '-DNAPI_CPP_EXCEPTIONS', '-DKERBEROS_USE_RTLD=1'],
      ...['-I', `${modules}/node-api-headers/include`, '-I', `${modules}/node-addon-api`],
      ...sources.map((name) => `${place}/src/${name}`),
      ...['-ldl', '-o', `${built}.new`],
    ],
    { stdio: ['ignore', 2, 2] },
  )
  if (done.status === 0) renameSync(`${built}.new`, built)
  else console.error('The package kerberos could not be compiled: see above. All else works without Kerberos tickets.')
}

/** Installs missing Debian packages as root; otherwise prints the line that does. */
function bringDebian(...groups) {
  const wanted = Object.assign({}, ...groups.map((group) => debian[group]))
  install(Object.keys(wanted).filter((name) => !existsSync(wanted[name])))
}

/** Node 26 is linked against a library that a minimal Debian lacks. */
function bringLibraries() {
  const starts = () => spawnSync(`${bin}/node`, ['--version']).status === 0
  if (starts()) return
  install(['libatomic1'])
  if (!starts()) fail(`Node 26 does not start; see what it says:\n  ${bin}/node --version`)
}

function install(missing) {
  if (missing.length === 0) return
  const line = `apt-get install -y --no-install-recommends ${missing.join(' ')}`
  if (process.getuid() !== 0)
    fail(`These Debian packages are missing. Install them, then run the command again:\n  sudo ${line}`)
  console.error(`Installing Debian packages: ${missing.join(' ')} ...`)
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' }
  const run = (...args) => spawnSync('apt-get', args, { env, stdio: ['ignore', 2, 2] }).status === 0
  const install = ['install', '-y', '-qq', '--no-install-recommends', ...missing]
  if (!run(...install) && !(run('update', '-qq') && run(...install)))
    fail(`This failed; run it by hand and look:\n  apt-get update && ${line}`)
}

/** Runs a program of ours in the foreground, passes signals on, and resolves to its exit status. */
function run(command, ...args) {
  return new Promise((resolve) => {
    const env = { ...process.env, PATH: `${bin}:${process.env.PATH}` }
    const child = spawn(`${bin}/${command}`, args, { cwd: home, stdio: 'inherit', env })
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
    child.on('exit', (code, signal) => resolve(code ?? (signal ? 1 : 0)))
    child.on('error', (error) => fail(`${command}: ${error.message}`))
  })
}

/** Runs commands one after the other; ends with the first failure. */
async function chain(...commands) {
  for (const [command, ...args] of commands) {
    const status = await run(command, ...args)
    if (status !== 0) process.exit(status)
  }
}

const checks = [['tsc'], ['biome', 'check', '--error-on-warnings', '.'], ['node', 'test/architecture.test.ts']]

const [mode, ...rest] = process.argv.slice(2)
bringPackages()
bringLibraries()
switch (mode) {
  case 'start':
    buildKerberos()
    await chain(['node', 'gateway/demo.ts', ...rest])
    break
  case 'check':
    await chain(...checks)
    break
  case 'test':
    bringDebian('test')
    buildKerberos()
    await chain(...checks, ['node', 'test/run.ts', ...rest])
    break
  case 'test:long':
    bringDebian('test')
    buildKerberos()
    await chain(['node', 'test/run.ts', '--long', ...rest])
    break
  case 'bench':
    bringDebian('test', 'bench')
    buildKerberos()
    await chain(['node', 'bench/run.ts', ...rest])
    break
  case 'build':
    rmSync(`${home}dist`, { recursive: true, force: true })
    await chain(['tsc', '-p', 'deploy/tsconfig.build.json'])
    break
  default:
    fail('usage: node deploy/setup.mjs start|check|test|test:long|bench|build')
}
