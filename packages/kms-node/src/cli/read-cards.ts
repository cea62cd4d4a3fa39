import { KmsError } from '@tkms/dkg'
import { parseNodeCard } from '../cluster/node-card.ts'
import { readBounded } from '../files.ts'

const MAX_CARD_BYTES = 64 * 1024

/** The node cards in these files, in their order. @throws KmsError `bad-node-card` */
export const readCards = (files: readonly string[]): Promise<ReturnType<typeof parseNodeCard>[]> =>
  Promise.all(files.map(async (file) => parseNodeCard(await readJson(file), file)))

async function readJson(file: string): Promise<unknown> {
  const bytes = await readBounded(file, MAX_CARD_BYTES).catch((cause: unknown) => {
    throw new KmsError('bad-node-card', `${file} cannot be read`, { cause })
  })
  if (bytes === undefined) throw new KmsError('bad-node-card', `${file} does not exist`)
  try {
    return JSON.parse(new TextDecoder().decode(bytes))
  } catch (cause) {
    throw new KmsError('bad-node-card', `${file} is not JSON`, { cause })
  }
}
