package api

import (
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/tongma/tongma"
)

//go:embed page/page.html page/page.css page/pictures.js page/page.js page/waiting.html page/waiting.js
var pageFiles embed.FS

// livePage is one HTML document with its style and script inside, and the policy
// that lets exactly those two run and nothing be loaded from elsewhere.
type livePage struct {
	text   []byte
	policy string
}

var console = buildPage("page/page.html", "pictures.js", "page.js")

var waiting = buildPage("page/waiting.html", "waiting.js")

func buildPage(document string, scripts ...string) livePage {
	part := func(name string) string {
		text, err := pageFiles.ReadFile(name)
		if err != nil {
			panic(err) // the file is part of the program
		}
		return string(text)
	}
	style, script := part("page/page.css"), ""
	for _, name := range scripts {
		script += part("page/" + name)
	}
	script = strings.Replace(script, "/*digits*/{}", digitsOf(), 1)
	text := strings.NewReplacer("/*style*/", style, "/*script*/", script).Replace(part(document))
	return livePage{[]byte(text), "default-src 'none'; connect-src 'self'; img-src data:; style-src " + hashSource(style) + "; script-src " + hashSource(script) +
		"; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"}
}

// digitsOf is the number of minor digits of all currencies that have not two, as ISO
// 4217 gives it: what browsers know of it is another list.
func digitsOf() string {
	other := map[string]int{}
	for _, c := range tongma.Currencies() {
		if n := c.MinorUnits(); n != 2 {
			other[c.Code()] = n
		}
	}
	text, err := json.Marshal(other)
	if err != nil {
		panic(err) // a map of whole numbers
	}
	return string(text)
}

func hashSource(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// page serves the console. It holds no figures: it asks for them with the token
// that is typed in, or in a sandbox with the session that a local visitor gets.
func (a *API) page(w http.ResponseWriter, r *http.Request) {
	a.session.give(w, r)
	console.serve(w)
}

// WaitingPage is for a switch that is not in office: it says so, and how far behind
// it is, as /readyz tells, and makes way for the console when that changes.
func WaitingPage(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	waiting.serve(w)
}

func (p *livePage) serve(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", p.policy)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	_, _ = w.Write(p.text)
}
