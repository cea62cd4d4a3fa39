import { authorizationStrength, signAuthorization } from '../../packages/dkg/src/ceremony/authorization.ts'
import type { MemberSignature } from '../../packages/dkg/src/ceremony/certificate.ts'
import { memberAt } from '../../packages/dkg/src/ceremony/config.ts'
import type { CeremonyInput } from '../../packages/dkg/src/ceremony/engine-types.ts'
import * as slots from '../../packages/dkg/src/ceremony/slot.ts'
import { equalBytes } from '../../packages/dkg/src/primitives/codec.ts'
import type { ParticipantIndex } from '../../packages/dkg/src/primitives/types.ts'
import type { Disk } from './disk.ts'
import type { Kit } from './identities.ts'
import type { Proposal } from './proposal.ts'

/** What a node does by the rules of its slot, each step durable before it returns. */

export function authorizeOn(
  kit: Kit,
  disk: Disk,
  { spec }: Proposal,
  self: ParticipantIndex,
): MemberSignature | undefined {
  const { sign } = kit.identity(self)
  const made = slots.authorize(disk.slot, spec, {
    holdsOldShare: disk.oldShare !== undefined,
    knowsCertificate: disk.shares.size > 0,
    sign: () => signAuthorization(sign, spec, self).signature,
  })
  if ('refusal' in made || made.entry.authorization === undefined) return undefined
  disk.slot = made.state
  return { index: self, signature: made.entry.authorization }
}

/** False when the slot does not let this node act in X yet. */
export function beginOn({ verify }: Kit, disk: Disk, { spec, authorizations }: Proposal): boolean {
  if (spec.kind === 'reshare' && authorizations.size < spec.oldConfig.t) return false
  const step = slots.begin(disk.slot, spec, authorizationStrength(verify, spec, [...authorizations.values()]))
  if ('refusal' in step) return false
  disk.slot = step.state
  return true
}

/** False where there is nothing to give up, or this node has no voice in it. */
export function abandonOn(disk: Disk, proposal: Proposal, self: ParticipantIndex): boolean {
  const { spec } = proposal
  const entry = slots.slotEntry(disk.slot, proposal.ceremony)
  if (memberAt(spec.newConfig, self) === undefined || entry?.abandoned === true || entry?.decidedAgainst === true)
    return false
  // What a minority of the old committee authorized cannot begin anywhere.
  if (spec.kind === 'reshare' && proposal.authorizations.size < spec.oldConfig.t) return false
  const step = slots.abandonHere(disk.slot, spec)
  if ('refusal' in step) return false
  disk.slot = step.state
  return true
}

/** What a node without an engine for X answers: from its archive, its book of ABANDONs, or that it knows nothing. */
export function answerLate(
  disk: Disk,
  proposal: Proposal,
  self: ParticipantIndex,
  input: CeremonyInput,
): CeremonyInput | 'abandons' | 'wait' | undefined {
  const archive = disk.archives.get(proposal)
  if (archive !== undefined) {
    if (input.type === 'certificate') return undefined
    const dealing = archive.dealings.find(
      ({ dealHash }) => input.type === 'fetch' && equalBytes(dealHash, input.dealHash),
    )
    if (dealing !== undefined) return { type: 'message', signed: dealing.signed }
    return { type: 'certificate', certificate: archive.certificate }
  }
  if (slots.slotEntry(disk.slot, proposal.ceremony)?.decidedAgainst === true)
    return input.type === 'message' || input.type === 'status-request' ? 'abandons' : undefined
  if (input.type === 'status-request') return { type: 'status', from: self, messages: [] }
  return input.type === 'message' ? 'wait' : undefined
}
