# Sourced before every command of the app. Config vars win: that is what the default is for.
export GREETING="${GREETING:-Hello}"
