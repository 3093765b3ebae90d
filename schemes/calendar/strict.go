package calendar

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/tongma/tongma"
	"go.yaml.in/yaml/v3"
)

// Problem is one thing wrong with a source.
type Problem struct {
	Line       int    // from 1; 0 if the whole source is meant
	Path       string // JSON pointer: "/calendars/0/holidays/3/date"
	Reason     tongma.Reason
	Message    string
	Suggestion string // what was probably meant, or ""
}

// String reads "line 12: /calendars/0/holidys: no such key; did you mean holidays?".
func (p Problem) String() string {
	s := p.Message
	if p.Path != "" {
		s = p.Path + ": " + s
	}
	if p.Line > 0 {
		s = fmt.Sprintf("line %d: %s", p.Line, s)
	}
	if p.Suggestion != "" {
		s += "; did you mean " + p.Suggestion + "?"
	}
	return s
}

// ParseError is what is wrong with a source, up to maxProblems, in the order in
// which it was found.
type ParseError struct{ Problems []Problem }

// Error lists the problems, one a line.
func (e *ParseError) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = "calendars: " + p.String()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns the first problem as the project's own error.
func (e *ParseError) Unwrap() error {
	if len(e.Problems) == 0 {
		return nil
	}
	p := e.Problems[0]
	return &tongma.Error{Op: "calendars", Reason: p.Reason, Field: p.Path, Detail: p.String()}
}

const (
	maxProblems = 20
	maxDepth    = 8
)

// spot is a value and where it stands.
type spot struct {
	*yaml.Node
	path string
}

// parser collects problems while the source is walked.
type parser struct {
	problems []Problem
	broken   bool // a calendar could not be read: names of calendars are not judged
}

func (p *parser) fail(at spot, reason tongma.Reason, suggestion, format string, args ...any) {
	if len(p.problems) >= maxProblems {
		return
	}
	problem := Problem{Path: at.path, Reason: reason, Suggestion: suggestion, Message: fmt.Sprintf(format, args...)}
	if at.Node != nil {
		problem.Line = at.Line
	}
	p.problems = append(p.problems, problem)
}

func (p *parser) invalid(at spot, format string, args ...any) {
	p.fail(at, tongma.FieldInvalid, "", format, args...)
}

// document returns the root of a source that is one YAML document.
func (p *parser) document(source []byte) (spot, bool) {
	var doc, more yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(source))
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		p.fail(spot{}, tongma.MessageMalformed, "", "nothing is in it: a calendar was meant")
		return spot{}, false
	} else if err != nil {
		p.fail(spot{}, tongma.MessageMalformed, "", "%s", strings.TrimPrefix(err.Error(), "yaml: "))
		return spot{}, false
	}
	if dec.Decode(&more) == nil {
		p.fail(spot{Node: &more}, tongma.MessageMalformed, "", "a second document")
		return spot{}, false
	}
	if len(doc.Content) != 1 {
		return spot{}, false
	}
	return spot{Node: doc.Content[0]}, true
}

// plain refuses anchors, aliases and great depth: a source is read by people, line
// by line.
func (p *parser) plain(n *yaml.Node, depth int) bool {
	if n.Kind == yaml.AliasNode || n.Anchor != "" || depth > maxDepth {
		p.fail(spot{Node: n}, tongma.MessageMalformed, "", "anchors, aliases and more than %d levels are not allowed", maxDepth)
		return false
	}
	for _, child := range n.Content {
		if !p.plain(child, depth+1) {
			return false
		}
	}
	return true
}

// field is one key that a mapping may have.
type field struct {
	name     string
	required bool
	read     func(at spot)
}

// mapping reads a mapping of exactly the given keys. Keys are read in the order
// of fields, not of the source, so that later ones may lean on earlier ones.
func (p *parser) mapping(at spot, fields ...field) {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.name
	}
	values, meant := map[string]spot{}, map[string]bool{}
	if !p.pairs(at, func(key string, value spot) {
		for _, name := range names {
			if name == key {
				values[key] = value
				return
			}
		}
		name := nearest(key, names)
		meant[name] = true // one fault is enough: the key is not missing too
		p.fail(value, tongma.FieldUnknown, name, "no such key")
	}) {
		return
	}
	for _, f := range fields {
		if value, ok := values[f.name]; ok {
			f.read(value)
		} else if f.required && !meant[f.name] {
			p.fail(spot{at.Node, at.path + "/" + f.name}, tongma.FieldMissing, "", "is missing")
		}
	}
}

// pairs calls each for every key of a mapping, once.
func (p *parser) pairs(at spot, each func(key string, value spot)) bool {
	if at.Kind != yaml.MappingNode {
		p.invalid(at, "must be a mapping of keys")
		return false
	}
	seen := make(map[string]bool, len(at.Content)/2)
	for i := 0; i+1 < len(at.Content); i += 2 {
		key := at.Content[i]
		value := spot{at.Content[i+1], at.path + "/" + escape(key.Value)}
		switch {
		case key.Kind != yaml.ScalarNode:
			p.invalid(at, "a key must be a word")
		case seen[key.Value]:
			p.invalid(spot{key, value.path}, "stands twice")
		default:
			seen[key.Value] = true
			each(key.Value, value)
		}
	}
	return true
}

// list calls each for every item of a sequence of at most limit.
func (p *parser) list(at spot, limit int, each func(item spot)) {
	if at.Kind != yaml.SequenceNode {
		p.invalid(at, "must be a list")
		return
	}
	if len(at.Content) > limit {
		p.invalid(at, "has %d items; at most %d are allowed", len(at.Content), limit)
		return
	}
	for i, item := range at.Content {
		each(spot{item, fmt.Sprintf("%s/%d", at.path, i)})
	}
}

// text reads a scalar of 1 to limit bytes as it is written.
func (p *parser) text(at spot, limit int) (string, bool) {
	switch {
	case at.Kind != yaml.ScalarNode || at.Tag == "!!null" || at.Value == "":
		p.invalid(at, "must be text")
	case len(at.Value) > limit:
		p.invalid(at, "is longer than %d bytes", limit)
	case strings.IndexFunc(at.Value, func(r rune) bool { return r < ' ' || r == 0x7f || r == 0xfffd }) >= 0:
		p.invalid(at, "holds control characters")
	default:
		return at.Value, true
	}
	return "", false
}

// whole reads a number from low to high.
func (p *parser) whole(at spot, low, high int) (int, bool) {
	s, ok := p.text(at, 9)
	if !ok {
		return 0, false
	}
	n, ok := number(s)
	if !ok || n < low || n > high {
		p.invalid(at, "must be a number from %d to %d", low, high)
		return 0, false
	}
	return n, true
}

// oneOf reads one of a few words and returns its place among them.
func (p *parser) oneOf(at spot, words []string) (int, bool) {
	s, ok := p.text(at, 64)
	if !ok {
		return 0, false
	}
	for i, word := range words {
		if s == word && word != "" {
			return i, true
		}
	}
	p.fail(at, tongma.FieldInvalid, nearest(s, words), "must be one of %s", strings.Join(strings.Fields(strings.Join(words, " ")), ", "))
	return 0, false
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
// of its letters are to be changed. It returns "" if none is that near.
func nearest(word string, names []string) string {
	if len(word) > 32 {
		return ""
	}
	best, limit := "", len(word)/3+1
	for _, name := range names {
		if d := edits(word, name); d < limit {
			best, limit = name, d
		}
	}
	return best
}

// edits counts the letters to insert, delete, replace or swap with a neighbour
// (optimal string alignment).
func edits(a, b string) int {
	table := make([][]int, len(a)+1)
	for i := range table {
		table[i] = make([]int, len(b)+1)
		table[i][0] = i
	}
	for j := range table[0] {
		table[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			table[i][j] = min(table[i-1][j]+1, table[i][j-1]+1, table[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				table[i][j] = min(table[i][j], table[i-2][j-2]+1)
			}
		}
	}
	return table[len(a)][len(b)]
}
