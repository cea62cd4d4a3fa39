import { sha256 } from '@noble/hashes/sha2.js'
import { attempt, decodeGrant } from '@tkms/dkg'
import { alice, curve, itemFor, NOW_SECONDS, requestOf, spki } from '../serve/pipeline.fixture.ts'
import type { DecisionInput } from './decision.ts'

/** What the pipeline tells rules of a request by alice, for an envelope of hers unless told otherwise. */
export function inputOf(changes: Partial<DecisionInput> = {}): DecisionInput {
  const item = changes.item ?? itemFor(alice)
  const grant = item.version === 1 ? attempt(() => decodeGrant(curve, item.grant)) : undefined
  const principal = { kind: 'ed25519', key: alice.publicKey } as const
  return {
    request: requestOf(),
    item,
    principal,
    requesterId: alice.id,
    recipientSpkiHash: sha256(spki),
    grants: grant === undefined ? [] : [grant],
    evidence: [],
    remote: '10.0.0.1',
    tokenHash: undefined,
    nowSeconds: NOW_SECONDS,
    dryRun: false,
    unlessReleased: () => undefined,
    signal: new AbortController().signal,
    ...changes,
  }
}
