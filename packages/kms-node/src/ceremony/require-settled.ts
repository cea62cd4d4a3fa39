import { bytesKey, type CeremonySpec, decodeCertificate } from '@tkms/dkg'
import { ceremonyError } from './errors.ts'
import type { CeremonyRunPorts } from './run-ports.ts'

/**
 * A resharing out of an attempt that this node gave up for a higher one would split the key in two if that one got its certificate
 * as well: the higher one must be decided against first.
 * @throws KmsError `attempt-open`
 */
export function requireSettled(
  { curve, keys, slots }: Pick<CeremonyRunPorts, 'curve' | 'keys' | 'slots'>,
  spec: CeremonySpec,
): void {
  const previous = spec.kind === 'reshare' ? keys.find(spec.prevOutcome)?.key : undefined
  if (previous === undefined) return
  const { entries } = slots.state(decodeCertificate(curve, previous.certificate).spec)
  const open = entries.find(
    ({ attempt, approval, authorization, decidedAgainst }) =>
      attempt > previous.attempt && (approval !== 'none' || authorization !== undefined) && !decidedAgainst,
  )
  if (open !== undefined)
    throw ceremonyError('attempt-open', 'a later attempt of the sharing that this would replace is still open', {
      data: { ceremony: `0x${bytesKey(open.ceremony)}` },
    })
}
