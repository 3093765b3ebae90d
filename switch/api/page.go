package api

import (
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"net/http"
	"strings"
)

//go:embed page/page.html page/page.css page/page.js
var pageFiles embed.FS

// livePage is one HTML document with its style and script inside, and the policy
// that lets exactly those two run and nothing be loaded from elsewhere.
type livePage struct {
	text   []byte
	policy string
}

var console = buildPage()

func buildPage() livePage {
	part := func(name string) string {
		text, err := pageFiles.ReadFile("page/" + name)
		if err != nil {
			panic(err) // the file is part of the program
		}
		return string(text)
	}
	style, script := part("page.css"), part("page.js")
	text := strings.NewReplacer("/*style*/", style, "/*script*/", script).Replace(part("page.html"))
	return livePage{[]byte(text), "default-src 'none'; connect-src 'self'; img-src data:; style-src " + hashSource(style) + "; script-src " + hashSource(script) +
		"; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"}
}

func hashSource(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// page serves the console. It holds no figures: it asks for them with the token
// that is typed in, or in a sandbox with the session that a local visitor gets.
func (a *API) page(w http.ResponseWriter, r *http.Request) {
	a.session.give(w, r)
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", console.policy)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	_, _ = w.Write(console.text)
}
