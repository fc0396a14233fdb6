// Package nearest guesses which word was meant by a mistyped one.
package nearest

import "strings"

// maxWord is the longest word that is compared, which bounds the work: no name in this
// program is longer.
const maxWord = 64

// Question returns " (did you mean WORD?)" for the nearest word, or nothing if none is
// near.
func Question(typed string, words []string) string {
	if near := To(typed, words); near != "" {
		return " (did you mean " + near + "?)"
	}
	return ""
}

// To returns the word nearest to what was typed, or nothing if none is near. A word is
// near if what was typed is its beginning, of at least three letters, or differs from it
// in one letter (from six letters on, two) that is wrong, missing, superfluous or swapped
// with its neighbour. Case is ignored.
func To(typed string, words []string) string {
	if len(typed) < 3 || len(typed) > maxWord {
		return ""
	}
	best, least := "", 2
	if len(typed) >= 6 {
		least = 3
	}
	typed = strings.ToLower(typed)
	for _, word := range words {
		d := distance(typed, strings.ToLower(word))
		if d > 0 && strings.HasPrefix(strings.ToLower(word), typed) {
			d = 1
		}
		if d < least {
			best, least = word, d
		}
	}
	return best
}

// distance counts the letters that must be replaced, inserted, deleted or swapped with
// their neighbour to turn a into b (optimal string alignment distance).
func distance(a, b string) int {
	if len(b) > maxWord {
		return len(b)
	}
	var before, last, row [maxWord + 1]int
	for j := range len(b) + 1 {
		last[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			wrong := 1
			if a[i] == b[j] {
				wrong = 0
			}
			row[j+1] = min(last[j]+wrong, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
