import { bytesKey, memberAt } from '@tkms/dkg'
import { COMMAND } from '../command.ts'
import { type DestroyableKey, destroyError, type DestroyServiceParams } from './ports.ts'

/**
 * Whether this node's operator may sign the order to destroy a key now (protocol 8). Nothing waits in here.
 * @param asked.last the name ends with this generation, although clients encrypt for it
 * @returns the key
 * @throws KmsError `unknown-key`, `not-a-member`, `key-destroyed`, `newest-generation`, `restored`, `ceremony-open`, `not-confirmed`
 */
export function requireAllowed(
  { self, ceremonies, nameOf }: Pick<DestroyServiceParams, 'self' | 'ceremonies' | 'nameOf'>,
  known: DestroyableKey | undefined,
  asked: { readonly keyName: string; readonly confirm: string | undefined; readonly last: boolean },
): DestroyableKey {
  const { keyName, confirm, last } = asked
  const [current] = known?.sharings ?? []
  if (known === undefined || current === undefined)
    throw destroyError('unknown-key', `this node knows no such generation of ${keyName}`, { data: { keyName } })
  const keyId = `0x${bytesKey(known.keyId)}`
  if (known.destroyedAtMs !== undefined) throw destroyError('key-destroyed', 'this key was destroyed for ever')
  if (memberAt(current.config, self) === undefined)
    throw destroyError('not-a-member', `this node is not in the committee of ${keyName}`)
  if (known.newest && !last)
    throw destroyError(
      'newest-generation',
      `generation ${current.generation} of ${keyName} is its newest: clients would go on encrypting for it, and nobody could open that. ` +
        `Rotate first (${COMMAND} keys rotate ${keyName}), or say with --last that the name ends with it`,
      { data: { keyName, generation: current.generation } },
    )
  if (confirm?.toLowerCase() !== keyId)
    throw destroyError(
      'not-confirmed',
      `destroying ${keyName} generation ${current.generation} makes everything encrypted for it unreadable for ever: ` +
        `confirm with --confirm ${keyId}`,
      { data: { keyId } },
    )
  const awaited = ceremonies.awaited?.(current.config) ?? []
  if (awaited.length > 0)
    throw destroyError(
      'restored',
      `a backup of this node was restored, and it may have agreed to new shares of ${keyName} since: it signs nothing before more of ` +
        `${awaited.map(nameOf).join(', ')} can be reached and have told. Start them, then sign again`,
      { retryable: true, data: { awaited } },
    )
  const ceremony = ceremonies.undecidedOf(known.keyId)
  if (ceremony !== undefined)
    throw destroyError(
      'ceremony-open',
      `ceremony ${ceremony.slice(0, 18)} may still give this key new shares: let it finish, or have a quorum of its new members give it up ` +
        `(${COMMAND} ceremony abandon ${ceremony.slice(0, 18)}), or finish its next attempt (ceremony propose --supersede)`,
      { data: { ceremony } },
    )
  return known
}
