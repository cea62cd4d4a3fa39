import { signAuthorization } from '../../packages/dkg/src/ceremony/authorization.ts'
import { checkCertificate } from '../../packages/dkg/src/ceremony/check-certificate.ts'
import { createConfig, importSpec, type ReshareSpec } from '../../packages/dkg/src/ceremony/config.ts'
import type { Secret } from '../../packages/dkg/src/primitives/secret.ts'
import type { Committee, Identity } from './simulated-committee.ts'
import type { NodeResult } from './simulation.ts'

/** A sharing that a simulated ceremony made, ready to be replaced by another ceremony. */
export interface Sharing {
  readonly committee: Committee
  readonly certificate: Uint8Array
  readonly shares: ReadonlyMap<number, Secret>
}

export function sharingOf(committee: Committee, results: ReadonlyMap<number, NodeResult>): Sharing {
  const shares = new Map<number, Secret>()
  let certificate: Uint8Array | undefined
  for (const result of results.values()) {
    certificate ??= result.certificate
    if (result.share !== undefined) shares.set(result.index, result.share)
  }
  if (certificate === undefined) throw new Error('the ceremony made no key')
  return { committee, certificate, shares }
}

/** The committee of the next epoch: these members, this threshold, authorized by `authorizers` (default: every old member). */
export function reshareOf(
  sharing: Sharing,
  next: {
    readonly members: readonly Identity[]
    readonly t: number
    readonly attempt?: number
    readonly authorizers?: readonly number[]
  },
): Committee {
  const { committee, certificate } = sharing
  const previous = checkCertificate(committee.curve, committee.verify, certificate)
  const { clusterId, newConfig: oldConfig } = committee.spec
  const spec: ReshareSpec = {
    kind: 'reshare',
    suite: 1,
    clusterId,
    purpose: previous.purpose,
    keyName: previous.keyName,
    generation: previous.generation,
    epoch: previous.epoch + 1,
    attempt: next.attempt ?? 0,
    keyId: previous.keyId,
    prevOutcome: previous.sharingId,
    oldConfig,
    newConfig: createConfig({ clusterId, t: next.t, members: next.members }),
    notAfter: 2_000_000_000,
  }
  const old = committee.identities.filter(({ index }) => oldConfig.members.some((member) => member.index === index))
  const authorizers = old.filter(({ index }) => next.authorizers?.includes(index) ?? true)
  const identities = [...new Map([...old, ...next.members].map((identity) => [identity.index, identity])).values()]
  return {
    ...committee,
    spec,
    identities: identities.toSorted((left, right) => left.index - right.index),
    previous,
    authorizations: authorizers.map(({ index, sign }) => signAuthorization(sign, spec, index)),
  }
}

/** IMPORT of `key` by one member, who deals it to the whole committee. */
export function importOf(committee: Committee, importer: Identity, key: Secret): Committee {
  const { clusterId, purpose, newConfig, notAfter } = committee.spec
  const common = { clusterId, purpose, keyName: 'ecies/imported', generation: 1, attempt: 0, newConfig, notAfter }
  const spec = importSpec(common, importer, committee.curve.mulBaseSecret(key))
  return { ...committee, spec, authorizations: [signAuthorization(importer.sign, spec, importer.index)] }
}
