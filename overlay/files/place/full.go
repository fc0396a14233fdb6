package place

import (
	"math"
	"math/bits"
)

// bytesOf returns a product, or the largest number if it is larger.
func bytesOf(blocks, unit uint64) int64 {
	high, low := bits.Mul64(blocks, unit)
	if high != 0 || low > math.MaxInt64 {
		return math.MaxInt64
	}
	return int64(low)
}
