package schemes

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	tongma "github.com/tongma/tongma"
	"github.com/tongma/tongma/codespec"
	"go.yaml.in/yaml/v3"
)

const unifiedScheme = codespec.SchemeUnified

// Decode says what a barcode is by this version of the directory: by the rules it
// starts from, and by those that it adds. An added rule takes an account, an
// application or a host before the rules do. Digits are taken by both: a payer's
// code that a rule and an added one name, or a claim, is ambiguous, and Resolve has
// its schemes consulted. The error is a *codespec.DecodeError.
func (d *Directory) Decode(raw string) (codespec.Code, error) {
	code, err := d.rules.Decode(raw)
	if d.extra == nil {
		return code, err
	}
	more, moreErr := d.extra.Decode(raw)
	switch {
	case moreErr != nil || len(more.Matches) == 0:
		return code, err
	case err != nil || more.Format != code.Format:
		return more, nil
	}
	code.Matches = merged(code.Matches, more.Matches, code.Format == codespec.FormatPayCode)
	for _, f := range more.Findings {
		if !slices.Contains(code.Findings, f) {
			code.Findings = append(slices.Clip(code.Findings), f)
		}
	}
	return code, nil
}

// merged joins the matches of the rules and of the added ones. Each object of a
// code has one match, the added one if there are two; digits keep both.
func merged(base, added []codespec.Match, digits bool) []codespec.Match {
	all := make([]codespec.Match, 0, len(base)+len(added))
	for _, m := range base {
		taken := func(n codespec.Match) bool { return n.Path == m.Path }
		if digits || !slices.ContainsFunc(added, taken) {
			all = append(all, m)
		}
	}
	if digits {
		return append(all, added...)
	}
	return append(slices.Clone(added), all...)
}

// rules reads the word default, or rules in the form of codespec.RulesData: they
// are added to the default ones, or stand alone if the key base says nothing.
func (p *parser) rules(d *Directory, n *yaml.Node, path string) {
	if n.Kind == yaml.ScalarNode && n.Value == "default" {
		return
	}
	alone := false
	before := len(p.problems)
	tree := p.shapeStruct(n, path, reflect.TypeFor[codespec.RulesData](), field{"base", false, func(n *yaml.Node, path string) {
		if alone = n.Value == "nothing"; !alone && n.Value != "default" {
			p.fail(path, tongma.FieldInvalid, nearest(n.Value, []string{"default", "nothing"}), "must be default or nothing")
		}
	}})
	if len(p.problems) > before {
		return
	}
	var data codespec.RulesData
	text, err := json.Marshal(tree)
	if err == nil {
		err = json.Unmarshal(text, &data)
	}
	if err != nil {
		p.invalid(path, "cannot be read as rules")
		return
	}
	if data.Version == "" {
		data.Version = p.added.Version
	}
	if !alone {
		p.added = data
	} else if rules := p.compiled(data, path); rules != nil {
		d.rules = rules
	}
}

func (p *parser) compiled(data codespec.RulesData, path string) *codespec.Rules {
	text, err := json.Marshal(data)
	if err != nil {
		p.invalid(path, "cannot be read as rules")
		return nil
	}
	rules, err := codespec.ParseRules(text)
	if err != nil {
		p.invalid(path, "%s", strings.TrimPrefix(err.Error(), "codespec: rules: "))
		return nil
	}
	return rules
}

// linkRules makes one set of the added rules and of the schemes' claims. A claim
// becomes a rule for each length, so that claims of one prefix meet whatever their
// ranges, and the longest prefix counts, as among all rules.
func (p *parser) linkRules(d *Directory) {
	for _, s := range d.schemes {
		for _, c := range s.Claims {
			for n := c.MinDigits; n <= c.MaxDigits; n++ {
				p.added.Numeric = append(p.added.Numeric, codespec.NumericRule{
					ID: fmt.Sprintf("claim.%s.%s.%d", s.ID, c.Prefix, n), Scheme: string(s.ID),
					Prefixes: []string{c.Prefix}, Min: n, Max: n, Note: "claimed in the directory",
				})
			}
		}
	}
	if !reflect.DeepEqual(p.added, codespec.RulesData{Version: p.added.Version}) {
		d.extra = p.compiled(p.added, "/rules")
	}
}

// meets tells whether a claim has a prefix and a length in common with others.
func (c Claim) meets(others []Claim) bool {
	return slices.ContainsFunc(others, func(o Claim) bool {
		return o.Prefix == c.Prefix && o.MinDigits <= c.MaxDigits && c.MinDigits <= o.MaxDigits
	})
}

// shape checks a node against a Go type that is read from JSON, and returns it as
// the value that marshals to that JSON. It exists for its errors: they have lines,
// and know what was probably meant.
func (p *parser) shape(n *yaml.Node, path string, t reflect.Type) any {
	switch t.Kind() {
	case reflect.Struct:
		return p.shapeStruct(n, path, t)
	case reflect.Map:
		all := map[string]any{}
		p.pairs(n, path, func(key, value *yaml.Node, at string) { all[key.Value] = p.shape(value, at, t.Elem()) })
		return all
	case reflect.Slice:
		all := []any{}
		p.list(n, path, maxRules, func(item *yaml.Node, at string) { all = append(all, p.shape(item, at, t.Elem())) })
		return all
	case reflect.Bool:
		return p.flag(n, path)
	case reflect.Int:
		return p.number(n, path, 0, 1<<20)
	}
	return p.rule(n, path)
}

func (p *parser) shapeStruct(n *yaml.Node, path string, t reflect.Type, fields ...field) any {
	all := map[string]any{}
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		of := t.Field(i).Type
		fields = append(fields, field{name, false, func(n *yaml.Node, path string) { all[name] = p.shape(n, path, of) }})
	}
	p.mapping(n, path, fields)
	return all
}

const (
	maxRules = 5000
	maxRule  = 1024
)

// rule reads text that may hold line feeds, as the first characters of some slips
// do.
func (p *parser) rule(n *yaml.Node, path string) string {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" || len(n.Value) > maxRule {
		p.invalid(path, "must be text of at most %d bytes", maxRule)
		return ""
	}
	return n.Value
}
