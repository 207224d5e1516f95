/** The servers Portolan is measured against, from Debian's packages, each on a loopback port of its own. */

import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, openSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'

export interface Peer {
  readonly name: string
  readonly url: string
  stop(): Promise<void>
}

/** A port that was free a moment ago. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.on('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() =>
        typeof address === 'object' && address ? resolve(address.port) : reject(new Error('no port')),
      )
    })
  })
}

/** Waits until something accepts connections; throws after ten seconds. */
export async function answers(port: number): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    const up = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1', () => resolve(true)).on('error', () => resolve(false))
      socket.on('connect', () => socket.destroy())
    })
    if (up) return
    await pause(100)
  }
  throw new Error(`nothing answers on port ${port}`)
}

/** Ends a process we started, by its pid, and waits for it. */
export async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGTERM')
  const timer = setTimeout(() => child.kill('SIGKILL'), 5000)
  await gone
  clearTimeout(timer)
}

async function start(
  name: string,
  port: number,
  work: string,
  command: string,
  args: readonly string[],
): Promise<Peer> {
  const log = openSync(`${work}/${name}.log`, 'a')
  const env = { PATH: '/usr/sbin:/usr/bin:/bin', HOME: work, RCLONE_CONFIG: `${work}/rclone.conf` }
  const child = spawn(command, args, { stdio: ['ignore', log, log], env })
  await answers(port)
  return { name, url: `http://127.0.0.1:${port}`, stop: () => end(child) }
}

/** nginx with sendfile, two workers; over TLS where a certificate is given. */
export async function nginx(
  work: string,
  data: string,
  tls?: { readonly certificate: string; readonly key: string },
): Promise<Peer> {
  const port = await freePort()
  mkdirSync(`${work}/nginx`, { recursive: true })
  const secured = tls ? ` ssl; ssl_certificate ${tls.certificate}; ssl_certificate_key ${tls.key}` : ''
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
  writeFileSync(
    `${work}/nginx.conf`,
    `daemon off; worker_processes 2; pid ${work}/nginx/pid; error_log ${work}/nginx/error.log; user root;
     events { worker_connections 4096; }
     http { access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000;
       ${temporary.map((kind) => `${kind}_temp_path ${work}/nginx/${kind};`).join(' ')}
       server { listen 127.0.0.1:${port}${secured}; location / { root ${data}; } } }\n`,
  )
  const args = ['-p', work, '-e', `${work}/nginx/error.log`, '-c', `${work}/nginx.conf`]
  const peer = await start('nginx', port, work, '/usr/sbin/nginx', args)
  return tls ? { ...peer, url: peer.url.replace('http:', 'https:') } : peer
}

/** Apache with mod_dav and no authentication; serves `data` and takes PUT below it. */
export async function apache(work: string, data: string): Promise<Peer> {
  const port = await freePort()
  mkdirSync(`${work}/apache`, { recursive: true })
  const modules = ['mpm_event', 'authz_core', 'dav', 'dav_fs', 'mime', 'dir']
  const installed = modules.filter((name) => existsSync(`/usr/lib/apache2/modules/mod_${name}.so`))
  writeFileSync(
    `${work}/apache.conf`,
    `ServerRoot ${work}/apache
PidFile ${work}/apache/pid
Listen 127.0.0.1:${port}
ServerName 127.0.0.1
User www-data
Group www-data
ErrorLog ${work}/apache/error.log
${installed.map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`).join('\n')}
DocumentRoot ${data}
TypesConfig /etc/mime.types
MaxKeepAliveRequests 0
DavLockDB ${work}/apache/lock
<Directory ${data}>
Require all granted
Dav On
</Directory>\n`,
  )
  // Apache serves as www-data: it must reach the data and keep its locks.
  execFileSync('chown', ['-R', 'www-data:www-data', `${work}/apache`])
  chmodSync(work, 0o755)
  return start('apache', port, work, '/usr/sbin/apache2', ['-DFOREGROUND', '-f', `${work}/apache.conf`])
}

/** `rclone serve http`. */
export async function rcloneHttp(work: string, data: string): Promise<Peer> {
  const port = await freePort()
  writeFileSync(`${work}/rclone.conf`, '')
  return start('rclone http', port, work, '/usr/bin/rclone', ['serve', 'http', '--addr', `127.0.0.1:${port}`, data])
}

/** `rclone serve webdav` with Basic authentication (alice:alice-pw). */
export async function rcloneWebdav(work: string, data: string): Promise<Peer> {
  const port = await freePort()
  writeFileSync(`${work}/rclone.conf`, '')
  const login = ['--user', 'alice', '--pass', 'alice-pw']
  return start('rclone webdav', port, work, '/usr/bin/rclone', [
    'serve',
    'webdav',
    '--addr',
    `127.0.0.1:${port}`,
    ...login,
    data,
  ])
}
