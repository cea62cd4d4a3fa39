import { vectorFolder } from './vectors-folder.ts'

/** Says once per run where the third-party vectors come from, or that their tests are skipped. */
export function setup(): void {
  const line =
    vectorFolder === undefined
      ? 'third-party vectors: SKIPPED, there is no ../shared/vectors; set TKMS_VECTORS (test/vectors/README.md says where each is published)'
      : `third-party vectors: ${vectorFolder}`
  process.stdout.write(`${line}\n`)
}
