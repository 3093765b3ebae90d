package schemes

import (
	"errors"
	"fmt"
	"io"
	"strings"

	tongma "github.com/tongma/tongma"
	"github.com/tongma/tongma/codespec"
	"go.yaml.in/yaml/v3"
)

// Problem is one thing wrong with a directory's source. Its text is safe to log
// as long as the source holds no secrets, which is checked first.
type Problem struct {
	Line, Column int    // from 1; 0 if the whole file is meant
	Path         string // JSON pointer: "/participants/0/caps/CNY"
	Reason       tongma.Reason
	Message      string
	Suggestion   string // what was probably meant, or ""
}

// String reads "line 12: /participants/0/nmae: no such key; did you mean name?".
func (p Problem) String() string {
	var b strings.Builder
	if p.Line > 0 {
		fmt.Fprintf(&b, "line %d: ", p.Line)
	}
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	b.WriteString(p.Message)
	if p.Suggestion != "" {
		b.WriteString("; did you mean " + p.Suggestion + "?")
	}
	return b.String()
}

// ParseError is all that is wrong with a directory's source, up to maxProblems,
// in the order of the file.
type ParseError struct{ Problems []Problem }

// Error lists the problems, one a line.
func (e *ParseError) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = "directory: " + p.String()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns the first problem as the project's own error, so that
// tongma.ReasonOf sees its reason.
func (e *ParseError) Unwrap() error {
	if len(e.Problems) == 0 {
		return nil
	}
	p := e.Problems[0]
	return &tongma.Error{Op: "directory", Reason: p.Reason, Field: p.Path, Detail: p.String()}
}

const maxProblems = 20

// parser walks YAML nodes strictly and collects problems. It remembers where
// each value stood, so that what is found wrong later has a line too.
type parser struct {
	problems []Problem
	at       map[string]*yaml.Node
	added    codespec.RulesData // rules beside the default ones
}

// field is one key that a mapping may have.
type field struct {
	name     string
	required bool
	read     func(n *yaml.Node, path string)
}

func (p *parser) fail(path string, reason tongma.Reason, suggestion, format string, args ...any) {
	if len(p.problems) >= maxProblems {
		return
	}
	problem := Problem{Path: path, Reason: reason, Suggestion: suggestion, Message: fmt.Sprintf(format, args...)}
	for up := path; ; up = up[:strings.LastIndexByte(up, '/')] {
		if n := p.at[up]; n != nil {
			problem.Line, problem.Column = n.Line, n.Column
			break
		}
		if up == "" {
			break
		}
	}
	p.problems = append(p.problems, problem)
}

func (p *parser) invalid(path, format string, args ...any) {
	p.fail(path, tongma.FieldInvalid, "", format, args...)
}

// document returns the root mapping of the source, or nil after a problem.
// Anchors, aliases and merges are refused: a directory is read by people, line by
// line, and an alias can also blow a small file up.
func (p *parser) document(source []byte) *yaml.Node {
	var doc yaml.Node
	dec := yaml.NewDecoder(strings.NewReader(string(source)))
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		p.fail("", tongma.MessageMalformed, "", "nothing is in it: a directory was meant")
		return nil
	} else if err != nil {
		p.fail("", tongma.MessageMalformed, "", "%s", strings.TrimPrefix(err.Error(), "yaml: "))
		return nil
	}
	var more yaml.Node
	if dec.Decode(&more) == nil {
		p.at[""] = &more
		p.fail("", tongma.MessageMalformed, "", "a second document; a directory is one")
		return nil
	}
	if len(doc.Content) != 1 || !p.plain(doc.Content[0], 0) {
		return nil
	}
	p.at[""] = doc.Content[0]
	return doc.Content[0]
}

const maxDepth = 16

func (p *parser) plain(n *yaml.Node, depth int) bool {
	if n.Kind == yaml.AliasNode || n.Anchor != "" || depth > maxDepth {
		p.at[""] = n
		p.fail("", tongma.MessageMalformed, "", "anchors, aliases and more than %d levels are not allowed", maxDepth)
		return false
	}
	for _, child := range n.Content {
		if !p.plain(child, depth+1) {
			return false
		}
	}
	return true
}

// mapping reads n as a mapping of exactly the given keys.
func (p *parser) mapping(n *yaml.Node, path string, fields []field) {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.name
	}
	meant := make(map[string]bool) // named by a misspelt key: one fault is enough
	seen := p.pairs(n, path, func(key, value *yaml.Node, at string) {
		for _, f := range fields {
			if f.name == key.Value {
				f.read(value, at)
				return
			}
		}
		p.at[at] = key
		name := nearest(key.Value, names)
		meant[name] = true
		p.fail(at, tongma.FieldUnknown, name, "no such key")
	})
	if seen == nil {
		return
	}
	for _, f := range fields {
		if f.required && !seen[f.name] && !meant[f.name] {
			p.fail(path+"/"+f.name, tongma.FieldMissing, "", "is missing")
		}
	}
}

// pairs calls each for every key of a mapping, once, and returns the keys; nil
// if n is no mapping.
func (p *parser) pairs(n *yaml.Node, path string, each func(key, value *yaml.Node, at string)) map[string]bool {
	if n.Kind != yaml.MappingNode {
		p.invalid(path, "must be a mapping of keys")
		return nil
	}
	seen := make(map[string]bool, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		at := path + "/" + escape(key.Value)
		if key.Kind != yaml.ScalarNode {
			p.invalid(path, "a key must be a word")
			continue
		}
		if seen[key.Value] {
			p.at[at] = key
			p.invalid(at, "stands twice")
			continue
		}
		seen[key.Value] = true
		p.at[at] = value
		each(key, value, at)
	}
	return seen
}

// list calls each for every item of a sequence of at most max.
func (p *parser) list(n *yaml.Node, path string, max int, each func(item *yaml.Node, at string)) {
	if n.Kind != yaml.SequenceNode {
		p.invalid(path, "must be a list")
		return
	}
	if len(n.Content) > max {
		p.invalid(path, "has %d items; at most %d are allowed", len(n.Content), max)
		return
	}
	for i, item := range n.Content {
		at := fmt.Sprintf("%s/%d", path, i)
		p.at[at] = item
		each(item, at)
	}
}

// text reads a scalar of 1 to max bytes as it is written: 0010344 without quotes
// keeps its zeros, and no amount is ever a float.
func (p *parser) text(n *yaml.Node, path string, max int) (string, bool) {
	switch {
	case n.Kind != yaml.ScalarNode || n.Tag == "!!null":
		p.invalid(path, "must be text")
	case len(n.Value) == 0:
		p.invalid(path, "is empty")
	case len(n.Value) > max:
		p.invalid(path, "is longer than %d bytes", max)
	case strings.IndexFunc(n.Value, func(r rune) bool { return r < ' ' || r == 0x7f || r == 0xfffd }) >= 0:
		p.invalid(path, "holds control characters")
	default:
		return n.Value, true
	}
	return "", false
}

func (p *parser) flag(n *yaml.Node, path string) bool {
	if n.Kind != yaml.ScalarNode || n.Tag != "!!bool" || n.Value != "true" && n.Value != "false" {
		p.invalid(path, "must be true or false")
		return false
	}
	return n.Value == "true"
}

// escape writes a key as a token of a JSON pointer (RFC 6901).
func escape(key string) string {
	if len(key) > 64 {
		key = key[:64]
	}
	return pointerToken.Replace(key)
}

var pointerToken = strings.NewReplacer("~", "~0", "/", "~1", "\n", " ", "\r", " ")

// nearest returns the name that word was probably meant to be: at most a third
// of its letters differ. It returns "" if none is near.
func nearest(word string, names []string) string {
	best, bestDistance := "", min(len(word), 32)/3+1
	for _, name := range names {
		if d := distance(word, name); d < bestDistance {
			best, bestDistance = name, d
		}
	}
	return best
}

// distance counts the letters to insert, delete, replace or swap with a
// neighbour to make b of a (optimal string alignment).
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	var rows [3][65]int
	before, prev, cur := &rows[0], &rows[1], &rows[2]
	for j := range len(b) + 1 {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], before[j-2]+1)
			}
		}
		before, prev, cur = prev, cur, before
	}
	return prev[len(b)]
}
