package schemes

import (
	"encoding/json"
	"reflect"
	"strings"

	"github.com/tongma/tongma/codespec"
	"go.yaml.in/yaml/v3"
)

const unifiedScheme = codespec.SchemeUnified

// rules reads the word default, or rules of the directory's own in the form of
// codespec.RulesData, which then stand alone.
func (p *parser) rules(n *yaml.Node, path string) *codespec.Rules {
	if n.Kind == yaml.ScalarNode && n.Value == "default" {
		return codespec.DefaultRules()
	}
	var data codespec.RulesData
	before := len(p.problems)
	tree := p.shape(n, path, reflect.TypeOf(data))
	if len(p.problems) > before {
		return nil
	}
	text, err := json.Marshal(tree)
	if err != nil {
		p.invalid(path, "cannot be written as JSON")
		return nil
	}
	rules, err := codespec.ParseRules(text)
	if err != nil {
		p.invalid(path, "%s", strings.TrimPrefix(err.Error(), "codespec: rules: "))
	}
	return rules
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
	s, _ := p.rule(n, path)
	return s
}

const maxRules = 5000

// rule reads text that may hold line feeds, as the first characters of some slips
// do.
func (p *parser) rule(n *yaml.Node, path string) (string, bool) {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" || len(n.Value) > 1024 {
		p.invalid(path, "must be text of at most 1024 bytes")
		return "", false
	}
	return n.Value, true
}

func (p *parser) shapeStruct(n *yaml.Node, path string, t reflect.Type) any {
	all := map[string]any{}
	var fields []field
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		of := t.Field(i).Type
		fields = append(fields, field{name, false, func(n *yaml.Node, path string) { all[name] = p.shape(n, path, of) }})
	}
	p.mapping(n, path, fields)
	return all
}
