// The compose cluster's start of one node: make it once, agree on the cluster file once, then run.
// /data is this node's own, /passphrase unlocks it, /exchange is shared by all and holds public files only: node cards and cluster.json.
import { execFileSync, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { copyFileSync, existsSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'

const POLL_MS = 200
const PROGRAM = '/app/dist/bin/kms-node.js'
const DATA = '/data'
const EXCHANGE = '/exchange'
const PASSPHRASE = '/passphrase/passphrase'
const CLUSTER = join(EXCHANGE, 'cluster.json')

const setting = (name) => {
  const value = process.env[name]
  if (value === undefined || value === '') throw new Error(`${name} is not set`)
  return value
}

const name = setting('NODE_NAME')
const publicUrl = setting('NODE_PUBLIC_URL')
const nodes = Number(setting('CLUSTER_NODES'))
const threshold = setting('CLUSTER_THRESHOLD')
/** What seals the store of a node that is made now; one that is there stays sealed as it was. */
const sealer = process.env.NODE_SEALER ?? 'passphrase'

/** Writes beside the target and renames, so that nobody reads half a file. */
function publish(from, to) {
  const draft = `${to}.${name}`
  copyFileSync(from, draft)
  renameSync(draft, to)
}

const kmsNode = (...args) =>
  execFileSync(process.execPath, [PROGRAM, ...args], { stdio: ['ignore', 'ignore', 'inherit'] })

function makeNode() {
  const isPassphrase = sealer === 'passphrase'
  const store = ['--data-dir', DATA, '--sealer', sealer, ...(isPassphrase ? ['--passphrase-file', PASSPHRASE] : [])]
  const p2p = ['--listen', '/ip4/0.0.0.0/tcp/7001', '--announce', `/dns4/${name}/tcp/7001`]
  const http = ['--http-host', '0.0.0.0', '--http-port', '7443', '--public-url', publicUrl]
  if (isPassphrase && !existsSync(PASSPHRASE))
    writeFileSync(PASSPHRASE, randomBytes(32).toString('base64url'), { mode: 0o600, flag: 'wx' })
  if (!existsSync(join(DATA, 'card.json'))) kmsNode('init', '--name', name, ...store, ...p2p, ...http)
  publish(join(DATA, 'card.json'), join(EXCHANGE, `${name}.card.json`))
}

/** The first node writes the cluster file when every card is there; the others wait for it. */
async function agreeOnCluster() {
  while (!existsSync(CLUSTER)) {
    const cards = readdirSync(EXCHANGE).filter((file) => file.endsWith('.card.json'))
    if (name === 'node-1' && cards.length === nodes) {
      const draft = join(DATA, 'cluster-draft.json')
      rmSync(draft, { force: true })
      kmsNode(
        'cluster',
        'new',
        '--threshold',
        threshold,
        '--out',
        draft,
        ...cards.toSorted().map((card) => join(EXCHANGE, card)),
      )
      publish(draft, CLUSTER)
      rmSync(draft)
    }
    await pause(POLL_MS)
  }
}

if (!existsSync(join(DATA, 'cluster.json'))) {
  makeNode()
  await agreeOnCluster()
  kmsNode('cluster', 'join', CLUSTER, '--data-dir', DATA)
}

const node = spawn(process.execPath, [PROGRAM, 'start', '--data-dir', DATA], { stdio: 'inherit' })
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => node.kill(signal))
node.on('exit', (code) => process.exit(code ?? 1))
