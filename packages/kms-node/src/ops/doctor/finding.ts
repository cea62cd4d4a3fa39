/** What one check found. */
export interface Finding {
  readonly check:
    | 'node'
    | 'http'
    | 'libp2p'
    | 'tls'
    | 'clock'
    | 'version'
    | 'identity'
    | 'hosts'
    | 'store'
    | 'disk'
    | 'sealing'
    | 'attestation'
    | 'policy'
    | 'audit'
  /** The name of the node that it is about. */
  readonly node: string
  readonly level: 'ok' | 'warning' | 'failure'
  /** Fixed words, public values, and of errors their code. */
  readonly detail: string
  /** What to do; with everything that is not `ok`. */
  readonly remedy?: string
}

export type Check = Finding['check']

/** Makes the findings of one check. */
export interface Findings {
  ok(detail: string): Finding
  warn(detail: string, remedy: string): Finding
  fail(detail: string, remedy: string): Finding
}

export const findingsOf = (check: Check, node: string): Findings => ({
  ok: (detail) => ({ check, node, level: 'ok', detail }),
  warn: (detail, remedy) => ({ check, node, level: 'warning', detail, remedy }),
  fail: (detail, remedy) => ({ check, node, level: 'failure', detail, remedy }),
})
