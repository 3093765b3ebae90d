package codespec

import (
	"bytes"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"sync"

	"github.com/tongma/tongma/codespec/paycode"
)

//go:embed rules.json
var defaultRules []byte

// RulesData is the versioned file of rules: which prefix, host, GUID or AID
// belongs to which scheme, and what a scheme's profile asks of a code. Prefixes
// and hosts change; they are data, and every match names the rule that made it.
type RulesData struct {
	Version    string           `json:"version"`
	MPM        []MPMRule        `json:"mpm"`
	Numeric    []NumericRule    `json:"numeric"`
	AIDs       []AIDRule        `json:"aids"`
	Links      []LinkRule       `json:"links"`
	NotPayable []NotPayableRule `json:"not_payable"`
	Profiles   []Profile        `json:"profiles"`
}

// MPMRule ties a merchant account (02-51) or an unreserved template (80-99) to
// a scheme. The GUID of the template, or the value of an opaque one, is folded
// to lower case and has to satisfy one of Exact, Prefix, Pattern and Form. A
// rule with none of them takes every value. The first rule that matches an
// object decides.
type MPMRule struct {
	ID              string   `json:"id"`
	Scheme          string   `json:"scheme"`
	IDs             string   `json:"ids"` // "26-51" or "50"
	Exact           []string `json:"exact,omitempty"`
	Prefix          string   `json:"prefix,omitempty"`
	Pattern         string   `json:"pattern,omitempty"` // regular expression over lower case
	Form            string   `json:"form,omitempty"`    // see form
	RequiresCountry string   `json:"requires_country,omitempty"`
	Consult         bool     `json:"consult,omitempty"`
	Note            string   `json:"note,omitempty"`
}

// NumericRule ties digits of certain lengths and prefixes to a scheme. The
// longest prefix decides; several rules with the same longest prefix all match.
type NumericRule struct {
	ID         string   `json:"id"`
	Scheme     string   `json:"scheme"`
	Prefixes   []string `json:"prefixes"` // two digits at least
	Min        int      `json:"min"`
	Max        int      `json:"max"`
	Consult    bool     `json:"consult,omitempty"`
	Confidence string   `json:"confidence,omitempty"` // "" documented, "low" seen or remembered
	Note       string   `json:"note,omitempty"`
}

// AIDRule ties an application of a consumer code to a scheme, by AID prefix
// (hex) or by payload format. The longest prefix decides.
type AIDRule struct {
	ID     string `json:"id"`
	Scheme string `json:"scheme"`
	Prefix string `json:"prefix,omitempty"`
	Format string `json:"format,omitempty"`
	Note   string `json:"note,omitempty"`
}

// LinkRule ties a URL to a scheme. Host is compared for equality with the
// parsed host. Patterns are anchored by their author; groups named token and
// institution fill the Link.
type LinkRule struct {
	ID          string            `json:"id"`
	Scheme      string            `json:"scheme"`
	URLScheme   string            `json:"url_scheme"`
	Host        string            `json:"host,omitempty"`
	HostPattern string            `json:"host_pattern,omitempty"` // app schemes only: the host is the token
	Path        string            `json:"path,omitempty"`
	Query       map[string]string `json:"query,omitempty"`       // each named parameter has to match
	TokenParam  string            `json:"token_param,omitempty"` // parameter that names the order
	Wraps       string            `json:"wraps,omitempty"`       // parameter that holds another code
	Kind        string            `json:"kind"`
	NotPayable  bool              `json:"not_payable,omitempty"`
	Consult     bool              `json:"consult,omitempty"`
	Confidence  string            `json:"confidence,omitempty"`
	Note        string            `json:"note,omitempty"`
}

// NotPayableRule recognises a code that is not a payment code, so that the
// refusal can say what it is.
type NotPayableRule struct {
	ID       string           `json:"id"`
	Scheme   string           `json:"scheme"`
	Prefixes []string         `json:"prefixes,omitempty"`
	TLVCheck string           `json:"tlv_check,omitempty"` // EMVCo-like text whose CRC stands in this ID
	GS1      map[string][]int `json:"gs1,omitempty"`       // GS1 Digital Link: primary keys and their digits, none = any text
	Note     string           `json:"note,omitempty"`
}

// Rules are rules ready for use. They are safe for use by several goroutines.
type Rules struct {
	version   string
	mpm       []mpmRule
	exact     map[string][]int // folded GUID -> indices of mpm, ascending
	tested    []int            // indices of mpm with Prefix, Pattern or Form
	primitive []int            // indices of mpm that take every value
	numeric   [100][]numericRule
	aids      []aidRule
	links     map[string][]linkRule // "https://host", or "wxp://" for app schemes without a fixed host
	refusals  []NotPayableRule
	profiles  map[string]*profile
}

type mpmRule struct {
	MPMRule
	lo, hi uint8
	re     *regexp.Regexp
	form   form
}

type numericRule struct {
	prefix   string
	min, max int
	matches  []Match
}

type aidRule struct {
	AIDRule
	prefix []byte
}

type linkRule struct {
	LinkRule
	host, path *regexp.Regexp
	query      map[string]*regexp.Regexp
	match      []Match
}

// Version names the file that the rules came from.
func (r *Rules) Version() string { return r.version }

// DefaultRules are the rules built into this version.
func DefaultRules() *Rules { return loadDefault() }

var loadDefault = sync.OnceValue(func() *Rules {
	r, err := ParseRules(defaultRules)
	if err != nil {
		panic("codespec: the embedded rules are broken: " + err.Error())
	}
	return r
})

// ParseRules reads rules from JSON. Unknown keys, repeated rule ids, impossible
// lengths and patterns that do not compile are errors that name the rule.
func ParseRules(data []byte) (*Rules, error) {
	var d RulesData
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&d); err != nil {
		return nil, fmt.Errorf("codespec: rules: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("codespec: rules: something follows the object")
	}
	return compile(d)
}

// compiler carries the first error and the ids seen, so that each step below
// reads as one line.
type compiler struct {
	err error
	ids map[string]bool
}

func (c *compiler) fail(id, format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf("codespec: rules: %s: %s", id, fmt.Sprintf(format, args...))
	}
}

func (c *compiler) id(id, scheme string) {
	if id == "" || scheme == "" || c.ids[id] {
		c.fail(id, "rule without id or scheme, or id used twice")
	}
	c.ids[id] = true
}

func (c *compiler) regexp(id, pattern string) *regexp.Regexp {
	if pattern == "" {
		return nil
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		c.fail(id, "%v", err)
	}
	return re
}

func compile(d RulesData) (*Rules, error) {
	c := &compiler{ids: map[string]bool{}}
	if d.Version == "" {
		c.fail("version", "is empty")
	}
	r := &Rules{version: d.Version, refusals: d.NotPayable}
	r.compileMPM(c, d.MPM)
	r.compileNumeric(c, d.Numeric)
	r.compileAIDs(c, d.AIDs)
	r.compileLinks(c, d.Links)
	for _, n := range d.NotPayable {
		c.id(n.ID, n.Scheme)
	}
	r.compileProfiles(c, d.Profiles)
	if c.err != nil {
		return nil, c.err
	}
	return r, nil
}

func (r *Rules) compileMPM(c *compiler, rules []MPMRule) {
	r.exact = map[string][]int{}
	for i, m := range rules {
		c.id(m.ID, m.Scheme)
		lo, hi := idRange(c, m.ID, m.IDs)
		r.mpm = append(r.mpm, mpmRule{MPMRule: m, lo: lo, hi: hi, re: c.regexp(m.ID, m.Pattern), form: parseForm(c, m.ID, m.Form)})
		for _, e := range m.Exact {
			if e != strings.ToLower(e) {
				c.fail(m.ID, "exact values are written in lower case")
			}
			r.exact[e] = append(r.exact[e], i)
		}
		switch {
		case m.Prefix != "" || m.Pattern != "" || m.Form != "":
			r.tested = append(r.tested, i)
		case len(m.Exact) == 0:
			r.primitive = append(r.primitive, i)
		}
	}
}

// idRange reads "26-51" or "50".
func idRange(c *compiler, rule, s string) (from, to uint8) {
	lo, hi, ok := strings.Cut(s, "-")
	if !ok {
		hi = lo
	}
	if len(lo) != 2 || len(hi) != 2 || !paycode.AllDigits(lo) || !paycode.AllDigits(hi) || lo > hi {
		c.fail(rule, "ids %q is not a range of two-digit ids", s)
		return 0, 0
	}
	return idNumber(lo), idNumber(hi)
}

// idNumber is a two-digit ID as a number.
func idNumber(id string) uint8 { return (id[0]-'0')*10 + id[1] - '0' }

func (r *Rules) compileNumeric(c *compiler, rules []NumericRule) {
	type key struct {
		prefix   string
		min, max int
	}
	at := map[key]int{}
	var all []numericRule
	for _, n := range rules {
		c.id(n.ID, n.Scheme)
		if n.Min < 2 || n.Max < n.Min || n.Max > 64 || len(n.Prefixes) == 0 {
			c.fail(n.ID, "impossible lengths, or no prefix")
		}
		m := Match{Scheme: n.Scheme, Rule: n.ID, Path: "prefix", Consult: n.Consult, Note: n.Note}
		for _, p := range n.Prefixes {
			if len(p) < 2 || len(p) > n.Min || !paycode.AllDigits(p) {
				c.fail(n.ID, "prefix %q is not two or more digits", p)
				continue
			}
			k := key{p, n.Min, n.Max}
			if i, ok := at[k]; ok {
				all[i].matches = append(all[i].matches, m)
				continue
			}
			at[k] = len(all)
			all = append(all, numericRule{p, n.Min, n.Max, []Match{m}})
		}
	}
	sort.SliceStable(all, func(i, j int) bool { return len(all[i].prefix) > len(all[j].prefix) })
	for _, n := range all {
		i, _ := strconv.Atoi(n.prefix[:2])
		n.matches = n.matches[:len(n.matches):len(n.matches)]
		r.numeric[i] = append(r.numeric[i], n)
	}
}

func (r *Rules) compileAIDs(c *compiler, rules []AIDRule) {
	for _, a := range rules {
		c.id(a.ID, a.Scheme)
		p, err := hex.DecodeString(a.Prefix)
		if err != nil || (len(p) == 0) == (a.Format == "") {
			c.fail(a.ID, "needs either an AID prefix in hex or a format")
		}
		r.aids = append(r.aids, aidRule{AIDRule: a, prefix: p})
	}
	sort.SliceStable(r.aids, func(i, j int) bool { return len(r.aids[i].prefix) > len(r.aids[j].prefix) })
}

func (r *Rules) compileLinks(c *compiler, rules []LinkRule) {
	r.links = map[string][]linkRule{}
	for _, l := range rules {
		c.id(l.ID, l.Scheme)
		web := l.URLScheme == "https"
		if l.URLScheme == "" || l.URLScheme == "http" || l.Kind == "" || web && (l.Host == "" || l.HostPattern != "") ||
			l.Host != strings.ToLower(l.Host) {
			c.fail(l.ID, "needs a scheme other than http, a kind, and for https a host in lower case")
		}
		k := linkRule{LinkRule: l, host: c.regexp(l.ID, l.HostPattern), path: c.regexp(l.ID, l.Path)}
		for name, pattern := range l.Query {
			if k.query == nil {
				k.query = map[string]*regexp.Regexp{}
			}
			k.query[name] = c.regexp(l.ID, pattern)
		}
		path := "host"
		if !web {
			path = "scheme"
		}
		k.match = []Match{{Scheme: l.Scheme, Rule: l.ID, Path: path, Consult: l.Consult, Note: l.Note}}
		key := l.URLScheme + "://" + l.Host
		r.links[key] = append(r.links[key], k)
	}
}
