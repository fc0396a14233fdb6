package pb

// FeatureCarry says that a peer carries links of others, and has such links. See
// HandshakeStart.features.
const FeatureCarry = 1

// Features are those that this version knows.
func Features() []uint32 { return []uint32{FeatureCarry} }
