import { X509Certificate } from 'node:crypto'
import { bytesKey, equalBytes } from '@tkms/dkg'
import { spkiSha256 } from '../identity/tls-certificate.ts'
import type { Log } from '../ops/log.ts'
import type { Clock } from '../ports.ts'

/** Why clients may refuse what is served: by its time browsers do, by its key those that pin what the cluster file says. */
export type TlsProblem = 'expired' | 'not-yet-valid' | 'key-not-pinned'

/** The certificate that is served, as an operator sees it. */
export interface TlsState {
  /** Unix seconds. */
  readonly notBefore: number
  readonly notAfter: number
  /** SHA-256 of its public key (SPKI), "0x" and 64 hex digits: what clients pin. */
  readonly spkiSha256: string
  readonly problems: readonly TlsProblem[]
}

/** Tells what is wrong with a certificate that is served all the same: a node without HTTP helps nobody. */
export interface TlsWatch {
  /** @param cert PEM, the served one first */
  state(cert: string): TlsState
  /** Logs what is wrong, each once as long as it stays so. */
  look(cert: string): void
}

const secondsOf = (time: string): number => Math.floor(Date.parse(time) / 1000)

/** @param ports.pinned the `tlsSpkiSha256` of this node's entry in its cluster file, 32 bytes; undefined where it names none */
export function createTlsWatch(ports: {
  readonly pinned: () => Uint8Array | undefined
  readonly clock: Clock
  readonly log: Log
}): TlsWatch {
  let known: readonly TlsProblem[] = []
  const state = (cert: string): TlsState => {
    const { validFrom, validTo } = new X509Certificate(cert)
    const [notBefore, notAfter] = [secondsOf(validFrom), secondsOf(validTo)]
    const [now, hash, pinned] = [Math.floor(ports.clock.nowMs() / 1000), spkiSha256(cert), ports.pinned()]
    const problems: readonly (readonly [TlsProblem, boolean])[] = [
      ['expired', now > notAfter],
      ['not-yet-valid', now < notBefore],
      ['key-not-pinned', pinned !== undefined && !equalBytes(pinned, hash)],
    ]
    return {
      notBefore,
      notAfter,
      spkiSha256: `0x${bytesKey(hash)}`,
      problems: problems.flatMap(([problem, holds]) => (holds ? [problem] : [])),
    }
  }
  return {
    state,
    look(cert) {
      const { problems, ...served } = state(cert)
      const pinned = ports.pinned()
      for (const problem of problems)
        if (!known.includes(problem))
          ports.log.warn({ problem, ...served, ...(pinned && { pinned: `0x${bytesKey(pinned)}` }) }, 'tls-warning')
      known = problems
    },
  }
}
