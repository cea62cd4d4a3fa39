import type { KeyDescription, KeyRole, SharingDescription } from './describe-key.ts'

const ROLES: Readonly<Record<KeyRole, string>> = {
  active: 'active',
  'decrypt-only': 'older generation, decrypts only',
  retiring: 'this node left the committee',
  'awaiting-repair': 'no share here',
  'not-a-member': 'this node is not in the committee',
  destroyed: 'destroyed',
}

/** A key for people: its role here, its names, the life of its sharings, and what to do. */
export function formatKey(key: KeyDescription): string {
  const { keyName, generation, epoch, role, keyId, publicKey, threshold, sharings, advice, destroyedAt } = key
  const lines = [
    `${keyName} generation ${generation} epoch ${epoch}: ${ROLES[role]}`,
    `  keyId     ${keyId}`,
    `  publicKey ${publicKey}`,
    `  threshold ${threshold}`,
    ...sharings.map((sharing) => `  epoch ${sharing.epoch}   ${formatSharing(sharing)}`),
    ...(destroyedAt === undefined ? [] : [`  destroyed ${timeOf(destroyedAt)}`]),
    ...(advice === undefined ? [] : [`  ${advice}`]),
  ]
  return lines.join('\n')
}

function formatSharing({
  state,
  serving,
  since,
  eraseInSeconds,
  erasedAt,
  notErased,
  damaged,
}: SharingDescription): string {
  const parts = [
    erasedAt === undefined ? state : `erased ${timeOf(erasedAt)}`,
    ...(since > 0 && erasedAt === undefined ? [`certified here ${timeOf(since)}`] : []),
    ...(state === 'retiring' ? [serving ? 'answers requests that name it' : 'answers nothing any more'] : []),
    ...(eraseInSeconds === undefined ? [] : [`erased in ${durationOf(eraseInSeconds)}`]),
    ...(damaged === true ? ['its record is damaged'] : []),
    ...(notErased === undefined || notErased.length === 0 ? [] : [`not yet erased by node ${notErased.join(', ')}`]),
  ]
  return parts.join('; ')
}

const timeOf = (unixSeconds: number): string => new Date(unixSeconds * 1000).toISOString().replace('.000Z', 'Z')

const durationOf = (seconds: number): string =>
  seconds < 120 ? `${seconds} s` : seconds < 7200 ? `${Math.ceil(seconds / 60)} min` : `${Math.ceil(seconds / 3600)} h`
