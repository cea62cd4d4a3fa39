import { open } from 'node:fs/promises'
import { KmsError } from '@tkms/dkg'
import { parseDocument } from 'yaml'

const MAX_YAML_BYTES = 1024 * 1024

export type ConfigErrorCode =
  /** The file is not there. */
  | 'config-missing'
  /** It cannot be read, or is not YAML. */
  | 'config-unreadable'
  /** `data.problems` lists everything that is wrong, each with its path. */
  | 'bad-config-file'

/** What is wrong with a configuration file. */
export function configError(
  code: ConfigErrorCode,
  message: string,
  details: { readonly file: string; readonly problems?: readonly string[]; readonly cause?: unknown },
): KmsError<ConfigErrorCode> {
  const { file, problems = [], cause } = details
  const text = problems.length === 0 ? message : `${message}:\n${problems.map((problem) => `  ${problem}`).join('\n')}`
  return new KmsError(code, text, { cause, data: { file, problems } })
}

/**
 * Reads one YAML (or JSON) document of at most 1 MiB; keys are unique, aliases and custom tags refused.
 * @param hint said behind "does not exist"
 * @throws KmsError `config-missing`, `config-unreadable`, `bad-config-file`
 */
export async function readYamlFile(file: string, hint = ''): Promise<unknown> {
  return parseYaml(await readConfigText(file, hint), file)
}

/** @param file named in the error. @throws KmsError `bad-config-file` */
export function parseYaml(text: string, file: string): unknown {
  const document = parseDocument(text, { uniqueKeys: true, strict: true, schema: 'core', prettyErrors: true })
  const problems = [...document.errors, ...document.warnings].map((problem) => problem.message.split('\n')[0] ?? '')
  if (problems.length > 0) throw configError('bad-config-file', `${file} is not valid YAML`, { file, problems })
  try {
    return document.toJS({ maxAliasCount: 0 })
  } catch (cause) {
    throw configError('bad-config-file', `${file} uses YAML aliases`, { file, cause })
  }
}

/** A text file of at most 1 MiB, UTF-8. @throws KmsError `config-missing`, `config-unreadable` */
export async function readConfigText(file: string, hint = ''): Promise<string> {
  const handle = await open(file).catch((cause: unknown) => {
    const missing = cause instanceof Error && 'code' in cause && cause.code === 'ENOENT'
    throw missing
      ? configError('config-missing', `${file} does not exist${hint}`, { file, cause })
      : configError('config-unreadable', `${file} cannot be read`, { file, cause })
  })
  try {
    const { size } = await handle.stat()
    if (size > MAX_YAML_BYTES) throw configError('config-unreadable', `${file} is larger than 1 MiB`, { file })
    const buffer = new Uint8Array(size)
    const { bytesRead } = await handle.read(buffer, 0, size, 0)
    return new TextDecoder('utf-8', { fatal: true }).decode(buffer.subarray(0, bytesRead))
  } catch (cause) {
    if (cause instanceof KmsError) throw cause
    throw configError('config-unreadable', `${file} is not a readable text file`, { file, cause })
  } finally {
    await handle.close()
  }
}
