/** Finds secrets in what a run left behind, in every form in which one is likely to leak. */

export interface KnownSecret {
  readonly name: string
  readonly bytes: Uint8Array
}

/** Something a run produced: a file, a log, a recorded connection. */
export interface Trace {
  readonly name: string
  readonly bytes: Uint8Array
}

export interface Leak {
  readonly secret: string
  readonly form: string
  readonly trace: string
}

interface Pattern {
  readonly secret: string
  readonly form: string
  readonly bytes: Buffer
}

const PREFIX_BYTES = 4

/** Raw, reversed, hex in both cases, base64 and base64url at each of the three alignments, decimal. */
function patternsOf({ name, bytes }: KnownSecret): readonly Pattern[] {
  const raw = Buffer.from(bytes)
  const hex = raw.toString('hex')
  const texts: readonly (readonly [string, string])[] = [
    ['hex', hex],
    ['upper-case hex', hex.toUpperCase()],
    ['decimal', BigInt(`0x${hex}`).toString()],
    ...[0, 1, 2].flatMap((shift) => {
      const inner = base64At(raw, shift)
      return [
        [`base64 at ${shift}`, inner],
        [`base64url at ${shift}`, inner.replaceAll('+', '-').replaceAll('/', '_')],
      ] as const
    }),
  ]
  return [
    { secret: name, form: 'raw', bytes: raw },
    { secret: name, form: 'reversed', bytes: Buffer.from(raw.toReversed()) },
    ...texts.map(([form, text]) => ({ secret: name, form, bytes: Buffer.from(text) })),
  ]
}

/** The characters that the secret alone decides when `shift` bytes stand before it in the encoded block. */
function base64At(raw: Buffer, shift: number): string {
  const text = Buffer.concat([Buffer.alloc(shift), raw])
    .toString('base64')
    .replaceAll('=', '')
  const first = Math.ceil((8 * shift) / 6)
  const last = Math.floor((8 * (shift + raw.length)) / 6)
  return text.slice(first, last)
}

/** Every occurrence of a secret, once per secret, form and trace. */
export function findLeaks(secrets: readonly KnownSecret[], traces: readonly Trace[]): readonly Leak[] {
  const byPrefix = new Map<number, Pattern[]>()
  for (const pattern of secrets.flatMap(patternsOf)) {
    if (pattern.bytes.length < 16) throw new Error(`${pattern.secret} is too short to be searched for`)
    const prefix = pattern.bytes.readUInt32LE(0)
    byPrefix.set(prefix, [...(byPrefix.get(prefix) ?? []), pattern])
  }
  return traces.flatMap((trace) => searchIn(trace, byPrefix))
}

function searchIn({ name, bytes }: Trace, byPrefix: ReadonlyMap<number, readonly Pattern[]>): readonly Leak[] {
  const found = new Map<string, Leak>()
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  for (let at = 0; at + PREFIX_BYTES <= text.length; at++)
    for (const pattern of byPrefix.get(text.readUInt32LE(at)) ?? [])
      if (text.subarray(at, at + pattern.bytes.length).equals(pattern.bytes)) {
        const { secret, form } = pattern
        found.set(`${secret} ${form}`, { secret, form, trace: name })
      }
  return [...found.values()]
}
