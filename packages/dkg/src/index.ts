export { KmsError, type ErrorData, type KmsErrorOptions } from './errors.ts'
export { nobleCurve } from './primitives/noble-curve.ts'
export type { Curve, Term } from './primitives/curve.ts'
