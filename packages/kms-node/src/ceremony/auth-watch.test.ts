import {
  type KeyId,
  participantIndex,
  type ReshareSpec,
  Secret,
  type SharingId,
  signMemberAuthorization,
} from '@tkms/dkg'
import { expect, test } from 'vitest'
import { createSigner } from '../identity/ed25519-signer.ts'
import { testCluster } from '../net/test-hosts.fixture.ts'
import { createAuthorizationWatch } from './auth-watch.ts'

const { config } = testCluster(4, [])
const reshare = (attempt: number, notAfter: number): ReshareSpec => ({
  kind: 'reshare',
  suite: 1,
  clusterId: config.clusterId,
  purpose: 'ecies-dec',
  keyName: 'ecies/1',
  generation: 1,
  epoch: 1,
  attempt,
  keyId: new Uint8Array(32).fill(1) as KeyId,
  prevOutcome: new Uint8Array(32).fill(2) as SharingId,
  oldConfig: config,
  newConfig: config,
  notAfter,
})
const two = participantIndex(2)
const authOf = (spec: ReshareSpec) =>
  signMemberAuthorization(createSigner(new Secret(new Uint8Array(32).fill(2))), spec, two)

test('two AUTHs of one member for one slot and attempt prove it faulty; the same again and another attempt do not', () => {
  const watch = createAuthorizationWatch()
  const [first, rival, next] = [reshare(0, 1), reshare(0, 2), reshare(1, 1)]
  expect(watch.see(first, authOf(first))).toBeUndefined()
  expect(watch.see(first, authOf(first))).toBeUndefined()
  expect(watch.see(next, authOf(next))).toBeUndefined()
  expect(watch.see(rival, authOf(rival))).toMatchObject({ culprit: 2, kind: 'E2', certainty: 'proven' })
})
