package pb

// The features beyond version 1, see HandshakeStart.features.
const (
	// FeatureCarry says that a peer carries links of others, and has such links.
	FeatureCarry = 1
	// FeatureData says that a peer takes messages with data. Its record says so too.
	FeatureData = 2
)

// Features are those that this version knows.
func Features() []uint32 { return []uint32{FeatureCarry, FeatureData} }
