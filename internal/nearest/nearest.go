// Package nearest finds what somebody meant who has mistyped a word.
package nearest

import "strings"

// maxWord is the longest word that is looked at, which bounds the work: nothing that
// has a name here is longer.
const maxWord = 64

// Question asks, in brackets and behind a blank, for the word that may have been meant;
// it is empty if none is near.
func Question(typed string, words []string) string {
	if near := To(typed, words); near != "" {
		return " (did you mean " + near + "?)"
	}
	return ""
}

// To returns the word that is nearest to what was typed, or nothing if none is near: at
// least its first three letters, or all but a letter or, from six letters on, two that
// are wrong, missing, too many or swapped. Capitals are as good as small letters.
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

// distance counts the letters of a that are wrong, missing, too many or swapped with
// their neighbour to make it b (optimal string alignment).
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
