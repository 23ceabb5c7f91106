# Sourced by setup.sh and lock.sh. uv reads none of pip's settings, so where a user has told pip about an index, a
# folder of wheels or a certificate (environment or pip.conf), tell uv the same. What uv was told directly wins.

pip_setting() { # pip_setting find-links -> the value pip would use (several are separated by spaces), or nothing
    local name=$1 variable value
    variable=PIP_$(printf %s "$name" | tr 'a-z-' 'A-Z_')
    value=${!variable:-}
    if [ -z "$value" ]; then
        value=$(sed -n -E "s/^(global|install)\.$name='(.*)'$/\2/p" <<<"$_pip_config" | tail -n 1)
    fi
    printf '%s' "${value//\\n/ }"
}

pip_settings_to_uv() {
    local find_links index_url extra_index_url cert constraint _pip_config
    _pip_config=$("$PYTHON" -m pip config list 2>/dev/null) || true
    find_links=$(pip_setting find-links)
    index_url=$(pip_setting index-url)
    extra_index_url=$(pip_setting extra-index-url)
    cert=$(pip_setting cert)
    constraint=$(pip_setting constraint)
    if [ -n "$find_links" ]; then export UV_FIND_LINKS="${UV_FIND_LINKS:-${find_links// /,}}"; fi
    if [ -n "$index_url" ]; then export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-$index_url}"; fi
    if [ -n "$extra_index_url" ]; then export UV_INDEX="${UV_INDEX:-$extra_index_url}"; fi
    if [ -n "$cert" ]; then export SSL_CERT_FILE="${SSL_CERT_FILE:-$cert}"; fi
    if [ -n "$constraint" ]; then export UV_CONSTRAINT="${UV_CONSTRAINT:-$constraint}"; fi
    # pip takes the best version of all its indexes together; uv by default only looks at the first that has the name.
    export UV_INDEX_STRATEGY="${UV_INDEX_STRATEGY:-unsafe-best-match}"
}
