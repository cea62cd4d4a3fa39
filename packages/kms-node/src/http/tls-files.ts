import { createPrivateKey, X509Certificate } from 'node:crypto'
import { createSecureContext } from 'node:tls'
import { KmsError } from '@tkms/dkg'
import type { HttpConfig } from '../config/types.ts'
import { isKmsError } from '../errors.ts'
import { readBounded } from '../files.ts'
import type { TlsIdentity } from '../identity/tls-certificate.ts'
import type { Log } from '../ops/log.ts'
import type { TlsState, TlsWatch } from './tls-watch.ts'

/** PEM: a private key, and its certificate with those that lead to a trusted one. */
export interface TlsPair {
  readonly key: string
  readonly cert: string
}

/** A pair that follows its files. */
export interface LiveTls {
  current(): TlsPair
  /** Reads the files now (SIGHUP). What is wrong is logged and the pair before it stays. */
  reload(): Promise<void>
  /** What is served, and what is wrong with it now. */
  state(): TlsState
  stop(): void
}

export interface TlsFiles {
  readonly certFile: string
  readonly keyFile: string
}

/** What a node serves with: the configured files, else its own certificate; undefined without TLS. @throws as `openTlsFiles` */
export async function openNodeTls(options: {
  readonly http: HttpConfig
  readonly own: TlsIdentity
  readonly log: Log
  readonly watch: TlsWatch
  readonly onChange: (pair: TlsPair) => void
}): Promise<LiveTls | undefined> {
  const { http, own, log, watch, onChange } = options
  const { tls, tlsCertFile: certFile, tlsKeyFile: keyFile } = http
  if (!tls) return undefined
  if (certFile !== undefined && keyFile !== undefined)
    return openTlsFiles({ files: { certFile, keyFile }, log, watch, onChange })
  const pair = { key: own.key.use((pem) => Buffer.from(pem).toString()), cert: own.cert }
  watch.look(pair.cert)
  return {
    current: () => pair,
    reload: async () => watch.look(pair.cert),
    state: () => watch.state(pair.cert),
    stop: () => undefined,
  }
}

const MAX_PEM_BYTES = 256 * 1024
const POLL_MS = 5_000

/** @throws KmsError `bad-tls-files` when they cannot be read or do not belong together */
export async function readTlsFiles({ certFile, keyFile }: TlsFiles): Promise<TlsPair> {
  const bad = (why: string, cause?: unknown): KmsError =>
    new KmsError('bad-tls-files', `${certFile} and ${keyFile} are refused: ${why}`, {
      data: { certFile, keyFile },
      cause,
    })
  const read = async (file: string): Promise<string> => {
    const bytes = await readBounded(file, MAX_PEM_BYTES).catch((cause: unknown) => {
      throw bad(`${file} cannot be read`, cause)
    })
    if (bytes === undefined) throw bad(`${file} is not there`)
    return Buffer.from(bytes).toString()
  }
  const pair = { cert: await read(certFile), key: await read(keyFile) }
  let belongs: boolean
  try {
    createSecureContext({ ...pair, minVersion: 'TLSv1.3' })
    belongs = new X509Certificate(pair.cert).checkPrivateKey(createPrivateKey(pair.key))
  } catch (cause) {
    throw bad('they are not a certificate and its private key in PEM, or too weak', cause)
  }
  if (!belongs) throw bad('the key is not the one of the certificate')
  return pair
}

/** Follows the files: a right pair is taken whole, a wrong one not at all. @throws KmsError `bad-tls-files` when there is none to begin with */
export async function openTlsFiles(options: {
  readonly files: TlsFiles
  readonly log: Log
  readonly watch: TlsWatch
  readonly onChange: (pair: TlsPair) => void
  readonly pollMs?: number
}): Promise<LiveTls> {
  const { files, log, watch, onChange } = options
  let current = await readTlsFiles(files)
  watch.look(current.cert)
  let refused: string | undefined
  const take = async (): Promise<void> => {
    try {
      const pair = await readTlsFiles(files)
      refused = undefined
      if (pair.key === current.key && pair.cert === current.cert) return
      current = pair
      onChange(pair)
      log.info({ notAfter: new X509Certificate(pair.cert).validTo }, 'tls-loaded')
    } catch (cause) {
      if (!isKmsError(cause)) throw cause
      if (refused !== cause.message) log.error({ cause }, 'tls-refused')
      refused = cause.message
    }
  }
  const look = async (): Promise<void> => {
    await take()
    watch.look(current.cert)
  }
  let turn: Promise<void> = Promise.resolve()
  const inTurn = (): Promise<void> => (turn = turn.then(look, look))
  const timer = setInterval(() => {
    inTurn().catch((cause: unknown) => log.error({ cause }, 'tls-unreadable'))
  }, options.pollMs ?? POLL_MS)
  timer.unref()
  return {
    current: () => current,
    reload: inTurn,
    state: () => watch.state(current.cert),
    stop: () => clearInterval(timer),
  }
}
