import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { constants, tmpdir } from 'node:os'
import { basename, join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { QuorumError } from '@tkms/kms-client'
import { openFile, type Owner, sealFile, writeOwner } from './client.ts'
import { LocalCluster, type MadeKey } from './local-cluster.ts'
import { Report, seconds } from './report.ts'

const NODES = 5
const THRESHOLD = 3
const KEY_NAME = 'ecies/quickstart'

const HELP = `npm start [-- --file PATH] [-- --keep]

Runs five nodes on this machine, lets them make a key together, and opens a file through three of them.
  --file PATH  the file to encrypt (default: examples/sample.txt)
  --keep       leave the cluster running until Ctrl-C, and print commands to try`

/** The quickstart: real processes, a real key generation, a real file. */
async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      file: { type: 'string' },
      keep: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) return console.log(HELP)
  const file =
    values.file === undefined
      ? join(import.meta.dirname, '../sample.txt')
      : resolve(process.env['INIT_CWD'] ?? '.', values.file)
  const plaintext = await readFile(file)
  const directory = await mkdtemp(join(tmpdir(), 'tkms-'))
  const interrupted = new AbortController()
  const report = new Report(interrupted.signal)
  let cluster: LocalCluster | undefined
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => {
      interrupted.abort(new Interruption(signal))
      // Whatever is waited for fails or ends with the nodes.
      cluster?.stopAll().catch((cause: unknown) => console.error(cause))
    })
  try {
    report.step(`1. ${NODES} nodes, each with its own identity, sealed store and port`)
    cluster = await LocalCluster.create({ directory, nodes: NODES, threshold: THRESHOLD })
    interrupted.signal.throwIfAborted()
    await cluster.startAll()
    for (const { name, url, dataDir } of cluster.nodes) report.line(`${name}  ${url}  ${report.paint('dim', dataDir)}`)
    const key = await makeKey(report, cluster)
    const owner = await writeOwner(directory)
    await walkThrough(report, cluster, { file, plaintext, owner, key })
    if (values.keep) await keepRunning(report, cluster, { owner, file, interrupted: interrupted.signal })
  } catch (cause) {
    const { reason } = interrupted.signal as { readonly reason: unknown }
    if (!(reason instanceof Interruption)) throw cause
    process.exitCode = reason.exitCode
  } finally {
    await cluster?.stopAll()
    await rm(directory, { recursive: true, force: true })
  }
}

/** Somebody ended the run before its time; the exit code is the shell's for the signal. */
class Interruption extends Error {
  readonly exitCode: number

  constructor(signal: 'SIGINT' | 'SIGTERM') {
    super(`ended by ${signal}`)
    this.exitCode = 128 + constants.signals[signal]
  }
}

async function makeKey(report: Report, cluster: LocalCluster): Promise<MadeKey> {
  report.step(
    `2. They make the key ${KEY_NAME} together: any ${THRESHOLD} of ${NODES} can use it, nobody ever holds it`,
  )
  const key = await cluster.makeKey(KEY_NAME, ({ stage, phase, have, want, missing = [] }) => {
    if (stage !== 'running' || phase === undefined) return
    const waiting = missing.length === 0 ? '' : `, waiting for ${missing.map(({ name }) => name).join(', ')}`
    report.progress(`${phase}${want === undefined || want === 0 ? '' : ` ${have ?? 0}/${want}`}${waiting}`)
  })
  report.line(`group public key ${report.paint('green', key.publicKey ?? '')}`)
  report.line(`certified by a quorum of the nodes in ${seconds(key.tookMs)}`)
  return key
}

interface Material {
  readonly file: string
  readonly plaintext: Uint8Array
  readonly owner: Owner
  readonly key: MadeKey
}

async function walkThrough(
  report: Report,
  cluster: LocalCluster,
  { file, plaintext, owner, key }: Material,
): Promise<void> {
  const [first, second, third] = cluster.nodes
  if (first === undefined || second === undefined || third === undefined) throw new Error('five nodes were made')
  const clusterFile = await cluster.clusterOf(first)

  report.step(`3. A client encrypts ${basename(file)} offline: it needs only the public cluster file`)
  const envelope = await sealFile({ clusterFile, owner, keyName: KEY_NAME, plaintext })
  report.line(`${plaintext.length} bytes became an envelope of ${envelope.length} bytes`)

  const open = async (): Promise<number> => {
    const opened = await openFile({ clusterFile, owner, envelope })
    if (Buffer.compare(opened.plaintext, plaintext) !== 0) throw new Error('the opened file differs from the original')
    report.line(
      `${report.paint('green', 'opened')} in ${seconds(opened.tookMs)}; answers of ${opened.answered.join(', ')} verified and combined`,
    )
    return opened.tookMs
  }
  report.step('4. The owner opens it: each node proves its partial decryption, the client combines three')
  const firstMs = await open()

  report.step(`5. ${first.name} and ${second.name} are killed: three are left, three are enough`)
  await Promise.all([cluster.stop(first, 'SIGKILL'), cluster.stop(second, 'SIGKILL')])
  await open()

  report.step(`6. ${third.name} is killed too: two shares are worth nothing`)
  await cluster.stop(third, 'SIGKILL')
  const refusal = await openFile({ clusterFile, owner, envelope }).then(
    () => undefined,
    (error: unknown) => error,
  )
  if (!(refusal instanceof QuorumError)) throw new Error('two nodes of five opened the envelope', { cause: refusal })
  report.line(`${report.paint('red', 'refused')}: ${refusal.message}`)
  for (const { name, code } of refusal.causes) report.line(`  ${name}: ${code}`)

  report.step('7. The three start again from their sealed stores')
  await Promise.all([cluster.start(first), cluster.start(second), cluster.start(third)])
  await open()

  report.step('Summary')
  report.line(`group public key  ${key.publicKey ?? ''}`)
  report.line(`key id            ${key.keyId ?? ''}`)
  report.line(`key generation    ${seconds(key.tookMs)} with ${NODES} processes`)
  report.line(`opening the file  ${seconds(firstMs)}`)
  report.line(`all of it         ${seconds(report.elapsedMs)}`)
}

async function keepRunning(
  report: Report,
  cluster: LocalCluster,
  { owner, file, interrupted }: { readonly owner: Owner; readonly file: string; readonly interrupted: AbortSignal },
): Promise<void> {
  const [node] = cluster.nodes
  if (node === undefined) throw new Error('five nodes were made')
  const clusterFile = shellWord(join(node.dataDir, 'cluster.json'))
  const sealed = shellWord(join(cluster.directory, 'sample.tkms'))
  report.step('The cluster keeps running until Ctrl-C, which removes it. From another terminal, in this folder:')
  for (const line of [
    `curl --silent --cacert ${shellWord(join(node.dataDir, 'tls.crt'))} ${node.url}/v1/status`,
    `npm run --silent kms-node -- keys --data-dir ${shellWord(node.dataDir)}`,
    `npm run --silent tkms -- encrypt ${shellWord(file)} --cluster ${clusterFile} --owner ${owner.publicKeyId} --out ${sealed}`,
    `npm run --silent tkms -- decrypt ${sealed} --cluster ${clusterFile} --signer ${shellWord(owner.file)}`,
    `npm run --silent kms-node -- audit tail --data-dir ${shellWord(node.dataDir)}`,
    `npm run --silent kms-node -- policy check --data-dir ${shellWord(node.dataDir)}`,
  ])
    console.log(line)
  if (!interrupted.aborted)
    await new Promise<void>((stop) => {
      const alive = setInterval(() => undefined, 60_000)
      interrupted.addEventListener('abort', () => {
        clearInterval(alive)
        stop()
      })
    })
}

/** As one word of a POSIX shell. */
const shellWord = (text: string): string =>
  /^[\w./:@%+=,-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`

await main()
