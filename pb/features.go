package pb

// FeatureCarry says that a peer carries links of others, and has such links. See
// HandshakeStart.features.
const FeatureCarry = 1

// FeaturePast says that a peer keeps a history, and gives the last of it to those who ask. See
// HandshakeStart.features.
const FeaturePast = 60

// Features are those that each peer of this version has.
func Features() []uint32 { return []uint32{FeatureCarry} }
