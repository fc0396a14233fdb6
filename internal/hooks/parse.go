package hooks

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
)

// Parse splits a command into words, and finds its program as a shell would.
func Parse(text string) ([]string, error) {
	words, err := split(text, filepath.Separator == '/')
	if err != nil {
		return nil, err
	}
	program, err := exec.LookPath(words[0])
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return nil, fmt.Errorf("there is no program %q in PATH", words[0])
	case err != nil:
		return nil, err // it names the program
	}
	if words[0], err = filepath.Abs(program); err != nil {
		return nil, err
	}
	return words, nil
}

// split splits a command into words at blanks. Words may have parts in single quotes, which are
// taken as they are, and in double quotes, where a backslash makes \", \\, \$ and \`. Elsewhere a
// backslash takes the next character as it is, unless it separates the parts of a path. What only
// a shell could do is refused, since nothing would do it.
//
// We split ourselves: the kept libraries are whole shells (mvdan.cc/sh), or old (google/shlex) and
// take # for a comment.
func split(text string, backslash bool) ([]string, error) {
	var words []string
	var word strings.Builder
	inWord, quote := false, byte(0)
	escaped := false
	for i := range len(text) {
		c := text[i]
		switch {
		case c == 0:
			return nil, errors.New("a command has no NUL")
		case escaped:
			if quote != 0 && strings.IndexByte("\"\\$`", c) < 0 {
				word.WriteByte('\\')
			}
			word.WriteByte(c)
			escaped = false
		case c == '\\' && quote != '\'' && (backslash || quote == '"'):
			escaped, inWord = true, true
		case quote != 0 && c == quote:
			quote = 0
		case quote == '\'':
			word.WriteByte(c)
		case strings.IndexByte("$`", c) >= 0 || quote == 0 && strings.IndexByte("|&;<>", c) >= 0:
			return nil, fmt.Errorf("there is no shell to understand %c: put it into single quotes, or write sh -c '…'", c)
		case quote == '"':
			word.WriteByte(c)
		case c == '\'' || c == '"':
			quote, inWord = c, true
		case strings.IndexByte(" \t\r\n", c) >= 0:
			if inWord {
				words = append(words, word.String())
				word.Reset()
			}
			inWord = false
		default:
			word.WriteByte(c)
			inWord = true
		}
	}
	if quote != 0 || escaped {
		return nil, errors.New("a quote or a backslash at the end is not finished")
	}
	if inWord {
		words = append(words, word.String())
	}
	if len(words) == 0 || words[0] == "" {
		return nil, errors.New("the command is empty")
	}
	return words, nil
}
