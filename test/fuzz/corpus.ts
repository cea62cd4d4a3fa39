import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** A value of the golden vectors: bytes by the path that leads to them, as "ceremony.messages.3". */
export interface Sample {
  readonly path: string
  readonly bytes: Uint8Array
}

const FOLDER = join(import.meta.dirname, '../golden/vectors')
const HEX = /^(?:0x)?(?:[0-9a-f]{2}){4,}$/

function* samplesIn(value: unknown, path: string): Generator<Sample> {
  if (typeof value === 'string' && HEX.test(value))
    yield { path, bytes: new Uint8Array(Buffer.from(value.replace(/^0x/, ''), 'hex')) }
  else if (typeof value === 'object' && value !== null)
    for (const [name, inner] of Object.entries(value)) yield* samplesIn(inner, `${path}.${name}`)
}

/** Everything in hex that the golden vectors hold: whatever is frozen there is a seed here. */
export function readCorpus(): readonly Sample[] {
  return readdirSync(FOLDER).flatMap((file) => [
    ...samplesIn(JSON.parse(readFileSync(join(FOLDER, file), 'utf8')), file.replace(/\.json$/, '')),
  ])
}

export const bytesAt = (corpus: readonly Sample[], path: RegExp): readonly Uint8Array[] => {
  const found = corpus.filter((sample) => path.test(sample.path)).map(({ bytes }) => bytes)
  if (found.length === 0) throw new Error(`no golden vector is called ${path.source}`)
  return found
}
