// Which nodes of a cluster file serve: GET /ready of each, under the TLS key that the file pins. One line each; exit code 1 where one does not.
//   ready.mjs CLUSTER [--only NAME] [--except NAME]... [--path /health]       /health: which run at all
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { get as getHttp } from 'node:http'
import { get as getHttps } from 'node:https'

const TIMEOUT_MS = 5_000
const MAX_BYTES = 4_096

const [file, ...options] = process.argv.slice(2)
const named = (option) => options.flatMap((word, at) => (options[at - 1] === option ? [word] : []))
const [only, except, [path = '/ready']] = [named('--only'), named('--except'), named('--path')]
const unknown = options.filter((word, at) => at % 2 === 0 && !['--only', '--except', '--path'].includes(word))
if (file === undefined || unknown.length > 0 || options.length % 2 === 1) {
  console.error('usage: ready.mjs CLUSTER [--only NAME] [--except NAME]... [--path /health]')
  process.exit(2)
}

/** @returns why the node does not serve, undefined where it does */
function problemOf({ url, tlsSpkiSha256 }) {
  return new Promise((done) => {
    const get = url.startsWith('https:') ? getHttps : getHttp
    // No authority vouches for a node: its key is compared below, before anything that it says counts.
    const options = { rejectUnauthorized: false, timeout: TIMEOUT_MS, signal: AbortSignal.timeout(TIMEOUT_MS) }
    const call = get(`${url.replace(/\/+$/, '')}${path}`, options, (response) => {
      const certificate = response.socket.getPeerX509Certificate?.()
      const spki = certificate?.publicKey.export({ type: 'spki', format: 'der' })
      const pin = spki && createHash('sha256').update(spki).digest('hex')
      if (tlsSpkiSha256 !== undefined && `0x${pin}` !== tlsSpkiSha256) {
        response.destroy()
        return done('another TLS key answers at its address')
      }
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (more) => {
        text = (text + more).slice(0, MAX_BYTES)
      })
      response.on('end', () => done(response.statusCode === 200 ? undefined : `${response.statusCode} ${text}`))
      response.on('error', (cause) => done(cause.message))
    })
    call.on('timeout', () => call.destroy(new Error('it does not answer in time')))
    call.on('error', (cause) => done(cause.message))
  })
}

const { nodes } = JSON.parse(readFileSync(file, 'utf8'))
const known = new Set(nodes.map(({ name }) => name))
for (const name of [...only, ...except])
  if (!known.has(name)) {
    console.error(`${file} names no node ${name}`)
    process.exit(2)
  }
const asked = nodes.filter(({ name }) => (only.length === 0 || only.includes(name)) && !except.includes(name))
const found = await Promise.all(asked.map(async (node) => ({ ...node, problem: await problemOf(node) })))
for (const { name, problem } of found)
  console.log(`${name} ${problem === undefined ? 'ready' : `not ready: ${problem}`}`)
process.exitCode = found.every(({ problem }) => problem === undefined) ? 0 : 1
