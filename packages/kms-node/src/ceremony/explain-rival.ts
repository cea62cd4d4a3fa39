import { isKmsError } from '../errors.ts'
import { ceremonyError } from './errors.ts'
import type { CeremonyRegistry } from './registry.ts'

/**
 * What the slot says no with, and how the ceremony in the way stands: one that the operator gave up here already is in the way until a
 * quorum did.
 */
export function explainRival(cause: unknown, registry: Pick<CeremonyRegistry, 'get'>): unknown {
  const rival = isKmsError(cause) && cause.code === 'slot-other-approved' ? cause.data['ceremony'] : undefined
  if (typeof rival !== 'string') return cause
  const known = registry.get(rival.slice(2))
  const { stage, phase, abandonedBy = [], quorum = 0 } = known?.status ?? {}
  const id = rival.slice(0, 18)
  if (known === undefined) {
    const forgotten = `another ceremony (${id}) of this key, epoch and attempt was or may have been approved here before a backup was restored: approve that one, or propose the next attempt (ceremony propose --supersede)`
    return ceremonyError('slot-other-approved', forgotten, { cause, data: { ceremony: rival } })
  }
  const message =
    stage === 'left' || phase === 'leaving'
      ? `another ceremony (${id}) was approved here for this key, epoch and attempt: it is given up here, but not yet by a quorum (${abandonedBy.length} of ${quorum}); ceremony status ${id} says who is missing`
      : `another ceremony (${id}) was approved here for this key, epoch and attempt: ceremony abandon ${id} first`
  return ceremonyError('slot-other-approved', message, { cause, data: { ceremony: rival } })
}
